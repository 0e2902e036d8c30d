package main

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/alert"
)

// alertCommands adds the script commands of places that alerts go to.
func alertCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	to["receiver"] = cmdReceiver
	return to
}

// cmdReceiver is `receiver NAME SECRETFILE`: a webhook that takes what is signed with
// the secret, and a mail server that begins TLS and takes what comes from `desk` with
// the password `open sesame 1234`. $NAME_url and $NAME_smtp say where; what is taken
// lies in NAME.posts and NAME.mails. While there is a file NAME.down the webhook
// answers 500. $SSL_CERT_FILE makes both trusted.
func cmdReceiver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: receiver NAME SECRETFILE")
	}
	name, secret := args[0], strings.TrimSpace(ts.ReadFile(args[1]))
	posts, mails, down := ts.MkAbs(name+".posts"), ts.MkAbs(name+".mails"), ts.MkAbs(name+".down")
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if _, isDown := os.Stat(down); isDown == nil || err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		var at int64
		var mac string
		if _, err := fmt.Sscanf(strings.Replace(r.Header.Get("Holdfast-Signature"), ",v1=", " ", 1), "t=%d %s", &at, &mac); err != nil || alertSigned(secret, body, at) != r.Header.Get("Holdfast-Signature") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		appendTo(posts, r.Header.Get("Holdfast-Alert")+" "+string(body))
	}))
	ts.Defer(s.Close)
	ts.Setenv(name+"_url", s.URL+"/hook")
	pemFile := ts.MkAbs(name + ".pem")
	ts.Check(os.WriteFile(pemFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	ts.Setenv("SSL_CERT_FILE", pemFile)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(name+"_smtp", "smtp://"+l.Addr().String())
	var n atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go takeMail(c, s.TLS.Certificates, func(mail string) { appendTo(mails, fmt.Sprintf("mail %d\n%s", n.Add(1), mail)) })
		}
	}()
}

// alertSigned is what the receiver computes anew.
func alertSigned(secret string, body []byte, at int64) string {
	return alert.Sign([]byte(secret), body, timeOf(at))
}

func appendTo(path, s string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	io.WriteString(f, s+"\n")
}

// takeMail is a mail server for one connection: as much of RFC 5321 as a client needs.
func takeMail(c net.Conn, certs []tls.Certificate, took func(string)) {
	defer func() { c.Close() }()
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 mail")
	in, secure, known := bufio.NewReader(c), false, false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word := strings.ToUpper(strings.Fields(line + " .")[0]); {
		case word == "EHLO" && secure:
			say("250-mail\r\n250 AUTH PLAIN")
		case word == "EHLO":
			say("250-mail\r\n250 STARTTLS")
		case word == "STARTTLS":
			say("220 begin")
			t := tls.Server(c, &tls.Config{Certificates: certs})
			c, in, secure = t, bufio.NewReader(t), true
			say = func(s string) { io.WriteString(t, s+"\r\n") }
		case word == "AUTH" && secure:
			if known = strings.TrimSpace(line) == "AUTH PLAIN AGRlc2sAb3BlbiBzZXNhbWUgMTIzNA=="; known {
				say("235 ok")
			} else {
				say("535 no")
			}
		case word == "DATA" && known:
			say("354 go on")
			var mail strings.Builder
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				mail.WriteString(strings.ReplaceAll(l, "\r\n", "\n"))
			}
			took(mail.String())
			say("250 taken")
		case word == "QUIT":
			say("221 bye")
			return
		case known && (word == "MAIL" || word == "RCPT"):
			say("250 ok")
		default:
			say("530 no")
		}
	}
}

func timeOf(unix int64) time.Time { return time.Unix(unix, 0) }
