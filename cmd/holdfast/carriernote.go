package main

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/messages"
	"holdfast/preserve"
)

// carrierNote tells whoever carries the files what they are and how to send
// them, with nothing but programs that most machines have.
func carrierNote(all []preserve.Unanswered) string {
	byName := map[string]preserve.Authority{}
	for _, u := range all {
		byName[u.Authority.Name] = u.Authority
	}
	var b strings.Builder
	b.WriteString(`Time-stamp queries (RFC 3161) of a holdfast node
================================================

Each file <seal>.<authority>.tsq asks one time-stamping authority to confirm
that something was there at the time of its answer. A query holds one SHA-256
and a random number. It says nothing of what was captured, where or by whom.

Check first that the files came over whole:

    sha256sum -c SHA256SUMS

Send each file to its authority and keep the answer beside it, with .tsr in
place of .tsq. With curl, in this directory:
`)
	names := make([]string, 0, len(byName))
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a := byName[name]
		how, hint := "", ""
		if a.Authorization != "" {
			how, hint = " -K YOUR-CREDENTIALS", "  (with your credentials, which are not in these files: -K names a curl configuration)"
		}
		pause := ""
		if a.Public {
			pause = "      sleep 1  # a public service\n"
		}
		fmt.Fprintf(&b, `
%s, %s%s

    for f in *.%s.tsq; do
      curl --fail --max-time 30 -H 'Content-Type: application/timestamp-query'%s \
        --data-binary "@$f" -o "${f%%.tsq}.tsr" '%s'
%s    done
`, messages.Visible(name), messages.Visible(a.Operator), hint, name, how, shellQuoted(a.URL), pause)
	}
	b.WriteString(`
To see what an answer says:

    openssl ts -reply -in FILE.tsr -text

Bring the whole directory back to the node. There:

    holdfast seal --replies DIR

Answers may come one by one, in any order, and twice. A wrong one is refused by
name and spoils nothing. The time that counts is that of the answer, so send
them soon.
`)
	return b.String()
}

// shellQuoted makes a URL safe between single quotes.
func shellQuoted(url string) string { return strings.ReplaceAll(messages.Visible(url), "'", "%27") }
