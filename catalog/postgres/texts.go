package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/search"
)

// maxLexemes is how many bytes of different words a tsvector holds, less than the
// server's 1 MiB.
const maxLexemes = 1_000_000

// addTexts indexes the texts of answers that are new and of pages. All of it may be
// there already, whichever call brought it.
func addTexts(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted, fresh []*catalog.Answer, r rows) error {
	g := catalog.Gather(batch, fresh)
	if len(g.Places) == 0 {
		return nil
	}
	texts, err := addWords(ctx, tx, g.Texts)
	if err != nil {
		return err
	}
	addresses, err := addAddresses(ctx, tx, g.Addresses)
	if err != nil {
		return err
	}
	var pages [][2]int64
	var said [][3]int64
	var linked [][5]int64
	for _, p := range g.Places {
		n, capture := texts[p.Text], int64(0)
		if p.Capture >= 0 {
			capture = r.of(&batch[p.Capture])
			pages = append(pages, [2]int64{capture, n})
		} else {
			said = append(said, [3]int64{n, p.Channel, p.Post})
		}
		for _, a := range p.Addresses {
			linked = append(linked, [5]int64{n, p.Channel, p.Post, capture, addresses[a]})
		}
	}
	if err := insertNumbers(ctx, tx, `page (capture, text)`, sorted(pages, func(x *[2]int64) []int64 { return x[:] }), 2); err != nil {
		return err
	}
	if err := insertNumbers(ctx, tx, `said (text, channel, post)`, sorted(said, func(x *[3]int64) []int64 { return x[:] }), 3); err != nil {
		return err
	}
	return insertNumbers(ctx, tx, `linked (text, channel, post, capture, address)`, sorted(linked, func(x *[5]int64) []int64 { return x[:] }), 5)
}

// sorted are the columns of rows in their order, each row once.
func sorted[R comparable](list []R, values func(*R) []int64) (columns [][]int64) {
	slices.SortFunc(list, func(a, b R) int { return slices.Compare(values(&a), values(&b)) })
	for i := range slices.Compact(list) {
		for k, v := range values(&list[i]) {
			if i == 0 {
				columns = append(columns, nil)
			}
			columns[k] = append(columns[k], v)
		}
	}
	return columns
}

// insertNumbers adds rows of numbers that may be there already.
func insertNumbers(ctx context.Context, tx pgx.Tx, table string, columns [][]int64, width int) error {
	if len(columns) == 0 {
		return nil
	}
	args := make([]any, width)
	for i, c := range columns {
		args[i] = c
	}
	holes := []string{`$1::bigint[]`, `$2::bigint[]`, `$3::bigint[]`, `$4::bigint[]`, `$5::bigint[]`}[:width]
	_, err := tx.Exec(ctx, `INSERT INTO `+table+` SELECT * FROM unnest(`+strings.Join(holes, `, `)+`) ON CONFLICT DO NOTHING`, args...)
	return err
}

// known are the rows of what has a Digest, by its place in a list.
type knownRows struct {
	place map[hashing.Digest]int
	n     []int64
}

func (k *knownRows) read(scan func(...any) error) error {
	var d []byte
	var n int64
	err := scan(&d, &n)
	k.n[k.place[digest(d)]] = n
	return err
}

// missing are the places that have no row yet.
func (k *knownRows) missing() (out []int) {
	for i, n := range k.n {
		if n == 0 {
			out = append(out, i)
		}
	}
	return out
}

func newKnown(ds [][]byte) *knownRows {
	k := &knownRows{make(map[hashing.Digest]int, len(ds)), make([]int64, len(ds))}
	for i, d := range ds {
		k.place[digest(d)] = i
	}
	return k
}

// addWords gives every text its row, and returns them. Texts are sorted by Digest.
func addWords(ctx context.Context, tx pgx.Tx, texts []catalog.Text) ([]int64, error) {
	digests, ats := make([][]byte, len(texts)), make([]int64, len(texts))
	for i := range texts {
		digests[i], ats[i] = texts[i].Digest[:], texts[i].At.UnixMilli()
	}
	known := newKnown(digests)
	if err := each(ctx, tx, known.read, `SELECT digest, n FROM text WHERE digest = ANY ($1::bytea[])`, digests); err != nil {
		return nil, err
	}
	later := len(known.missing()) < len(texts)
	if err := newWords(ctx, tx, texts, known); err != nil {
		return nil, err
	}
	if !later {
		return known.n, nil
	}
	_, err := tx.Exec(ctx, `UPDATE text SET at = u.at FROM (SELECT t.n, u.at FROM unnest($1::bytea[], $2::bigint[]) u (digest, at) JOIN text t USING (digest)
		WHERE t.at < u.at ORDER BY t.digest FOR UPDATE OF t) u WHERE text.n = u.n AND text.at < u.at`, digests, ats)
	return known.n, err
}

// newWords adds those that have no row. One that another writer adds meanwhile is waited
// for, and is his.
func newWords(ctx context.Context, tx pgx.Tx, texts []catalog.Text, known *knownRows) error {
	var ds, langs [][]byte
	var ats []int64
	var wide []bool
	var bodies, handles []*string
	languages := search.NewLanguages()
	for _, i := range known.missing() {
		x := &texts[i]
		body, handle := search.Index(x.Title, x.Body)
		ds, ats, langs = append(ds, x.Digest[:]), append(ats, x.At.UnixMilli()), append(langs, []byte(languages.Of(x.Body)))
		wide, bodies, handles = append(wide, tooWide(body)), append(bodies, optional(body)), append(handles, optional(spaced(handle)))
	}
	if len(ds) == 0 {
		return nil
	}
	return each(ctx, tx, known.read, `INSERT INTO text (digest, at, lang, wide, body, handle) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::boolean[], $5::text[], $6::text[])
		ON CONFLICT (digest) DO UPDATE SET at = greatest(text.at, excluded.at) RETURNING digest, n`, ds, ats, langs, wide, bodies, handles)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// spaced has a space before its first word.
func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

// tooWide reports whether the different words of a text are more than a tsvector holds.
func tooWide(body string) bool {
	if len(body) <= maxLexemes {
		return false
	}
	size, met := 0, map[string]bool{}
	for w := range strings.SplitSeq(body, " ") {
		if !met[w] {
			met[w] = true
			size += len(w)
		}
	}
	return size > maxLexemes
}

// addAddresses does the same for addresses.
func addAddresses(ctx context.Context, tx pgx.Tx, links []catalog.Link) ([]int64, error) {
	digests := make([][]byte, len(links))
	for i := range links {
		digests[i] = links[i].Digest[:]
	}
	known := newKnown(digests)
	if len(links) == 0 {
		return nil, nil
	}
	if err := each(ctx, tx, known.read, `SELECT digest, n FROM address WHERE digest = ANY ($1::bytea[])`, digests); err != nil {
		return nil, err
	}
	var ds [][]byte
	var bodies []string
	for _, i := range known.missing() {
		ds, bodies = append(ds, digests[i]), append(bodies, " "+search.Address(links[i].Address)+" ")
	}
	if len(ds) == 0 {
		return known.n, nil
	}
	err := each(ctx, tx, known.read, `INSERT INTO address (digest, body) SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT (digest) DO UPDATE SET body = address.body RETURNING digest, n`, ds, bodies)
	return known.n, err
}
