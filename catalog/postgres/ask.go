package postgres

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"holdfast/catalog"
	"holdfast/search"
)

// maxWord is more than any folded word has, and less than the server refuses.
const maxWord = 1000

// maxListed bounds the channels and the Sources of a question.
const maxListed = 256

// ask is a question in SQL.
type ask struct {
	q                      catalog.TextQuery
	words, handles, urls   []search.Term // that must be there
	not, notHandle, notURL []search.Term
	hashes                 [][2][]byte // from and to
	channels, spoken       []int64
	at                     []byte // the Case, of Member

	possible bool // something asked for can be a folded word
}

func newAsk(q catalog.TextQuery) (*ask, error) {
	a := &ask{q: q, possible: true}
	for _, t := range q.Words.Terms {
		if err := a.term(t); err != nil {
			return nil, err
		}
	}
	if len(a.words)+len(a.handles)+len(a.urls)+len(a.hashes) == 0 && a.possible {
		return nil, errors.New("nothing is asked for")
	}
	if q.Member != "" {
		var err error
		if a.at, err = catalog.ParseID(q.Member); err != nil {
			return nil, err
		}
	}
	a.channels, a.spoken = channelNumbers(q.Channels), channelNumbers(q.Spoken)
	if len(a.channels) > maxListed || len(q.Sources) > maxListed || len(a.spoken) > catalog.MaxSpoken {
		return nil, fmt.Errorf("%d channels and %d sources, at most %d; %d channels of a language, at most %d", len(a.channels), len(q.Sources), maxListed, len(a.spoken), catalog.MaxSpoken)
	}
	return a, nil
}

func channelNumbers(all []string) (out []int64) {
	for _, k := range all {
		out = append(out, catalog.ChannelNumber(k))
	}
	return out
}

func (a *ask) term(t search.Term) error {
	if len(t.Words) == 0 {
		return errors.New("a term without words")
	}
	if t.Kind == search.Hash {
		from, to, err := catalog.HashRange(t.Words[0])
		a.hashes = append(a.hashes, [2][]byte{from, to})
		return err
	}
	for _, w := range t.Words {
		if !isWord(w) { // no text has it
			a.possible = a.possible && t.Not
			return nil
		}
	}
	to := map[search.Kind][2]*[]search.Term{search.Phrase: {&a.words, &a.not}, search.Handle: {&a.handles, &a.notHandle}, search.URL: {&a.urls, &a.notURL}}[t.Kind]
	i := 0
	if t.Not {
		i = 1
	}
	*to[i] = append(*to[i], t)
	return nil
}

// isWord reports whether w can be what package search folds.
func isWord(w string) bool {
	return w != "" && len(w) <= maxWord && utf8.ValidString(w) && !strings.ContainsAny(w, " \x00")
}

func (a *ask) onlyHashes() bool {
	return len(a.words)+len(a.handles)+len(a.urls)+len(a.not)+len(a.notHandle)+len(a.notURL) == 0
}

// lexemes is a term as a tsquery: all of its words, in any order.
func lexemes(t search.Term) string {
	all := make([]string, len(t.Words))
	for i, w := range t.Words {
		all[i] = `'` + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(w) + `'`
		if t.Prefix && i == len(t.Words)-1 {
			all[i] += `:*`
		}
	}
	return strings.Join(all, ` & `)
}

// sideBySide is what a row of words has with a space before each, and one behind the last.
func sideBySide(t search.Term) string {
	s := " " + strings.Join(t.Words, " ")
	if t.Prefix {
		return s
	}
	return s + " "
}

// like is a pattern for sideBySide.
func like(t search.Term) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(sideBySide(t)) + "%"
}

// text are conditions for the text x. The words decide which to look at; what is wide is
// looked at always.
func (a *ask) text(p *part) {
	if len(a.words) > 0 {
		all := make([]string, len(a.words))
		for i, t := range a.words {
			all[i] = lexemes(t)
		}
		p.add(` AND x.words @@ ?::tsquery`, `(`+strings.Join(all, ` & `)+`) | '__'`)
	}
	for _, t := range a.words {
		if len(t.Words) == 1 {
			p.add(` AND (NOT x.wide OR `)
			has(p, t)
			p.add(`)`)
		} else {
			p.add(` AND `)
			has(p, t)
		}
	}
	for _, t := range a.handles {
		p.add(` AND x.handle LIKE ?`, like(t))
	}
	for _, t := range a.not {
		p.add(` AND NOT coalesce((x.wide OR x.words @@ ?::tsquery) AND `, lexemes(t))
		has(p, t)
		p.add(`, false)`)
	}
	for _, t := range a.notHandle {
		p.add(` AND NOT coalesce(x.handle LIKE ?, false)`, like(t))
	}
	if len(a.words)+len(a.handles) == 0 && len(a.urls) > 0 {
		p.add(` AND x.n IN (SELECT l.text FROM linked l JOIN address d ON d.n = l.address WHERE d.body LIKE ?)`, like(a.urls[0]))
	}
	if a.onlyHashes() {
		for _, h := range a.hashes {
			p.add(` AND x.digest BETWEEN ? AND ?`, h[0], h[1])
		}
	}
	if a.q.Language == "" {
		return
	}
	p.add(` AND (x.lang = ?`, []byte(a.q.Language))
	if len(a.spoken) > 0 {
		p.add(` OR x.lang = '' AND EXISTS (SELECT FROM said s WHERE s.text = x.n AND s.channel = ANY (?::bigint[]))`, a.spoken)
	}
	p.add(`)`)
}

// has is the condition that the words of t stand side by side in x.
func has(p *part, t search.Term) {
	p.add(`strpos(' ' || x.body || ' ', ?) > 0`, sideBySide(t))
}

// places are (at, channel, post, id) of where the text t was seen, as far as it was asked
// for.
func (a *ask) places(p *part) {
	posts, pages := len(a.q.Sources) == 0, len(a.channels) == 0
	p.add(`SELECT at, channel, post, id FROM (`)
	if posts {
		a.posts(p)
	}
	if posts && pages {
		p.add(` UNION ALL `)
	}
	if pages {
		a.pages(p)
	}
	if !posts && !pages {
		p.add(`SELECT NULL::bigint AS at, 0::bigint AS channel, 0::bigint AS post, ''::bytea AS id WHERE false`)
	}
	p.add(`) places WHERE at IS NOT NULL`)
	if !a.q.Since.IsZero() {
		p.add(` AND at >= ?`, a.q.Since.UnixMilli())
	}
	if !a.q.Until.IsZero() {
		p.add(` AND at <= ?`, a.q.Until.UnixMilli())
	}
}

func (a *ask) posts(p *part) {
	p.add(`SELECT (SELECT min(coalesce(g.posted, r.received)) FROM sight g JOIN answer r ON r.n = g.answer JOIN capture c ON c.n = r.capture
		WHERE g.channel = s.channel AND g.post = s.post AND g.kind = 0 AND g.text = t.digest AND c.shown`)
	a.capture(p)
	p.add(`) AS at, s.channel AS channel, s.post AS post, ''::bytea AS id FROM said s WHERE s.text = t.n`)
	if len(a.channels) > 0 {
		p.add(` AND s.channel = ANY (?::bigint[])`, a.channels)
		if a.q.Post != 0 {
			p.add(` AND s.post = ?`, a.q.Post)
		}
	}
	a.linked(p, `l.channel = s.channel AND l.post = s.post AND l.capture = 0`)
}

func (a *ask) pages(p *part) {
	p.add(`SELECT c.started AS at, 0::bigint AS channel, 0::bigint AS post, c.id AS id FROM page g JOIN capture c ON c.n = g.capture WHERE c.shown AND g.text = t.n`)
	for i, source := range a.q.Sources {
		p.add([]string{` AND (`, ` OR `}[min(i, 1)]+`c.source = ?`, []byte(source))
		for _, end := range []string{"/", "?", "#"} {
			whole := source + end
			if end == "/" && strings.HasSuffix(source, "/") {
				whole = source
			}
			p.add(` OR substr(c.source, 1, ?) = ?`, len(whole), []byte(whole))
		}
	}
	if len(a.q.Sources) > 0 {
		p.add(`)`)
	}
	a.capture(p)
	a.linked(p, `l.channel = 0 AND l.post = 0 AND l.capture = g.capture`)
}

// member is the condition for a capture c of the Case that was asked for.
func (a *ask) member(p *part) {
	if a.at != nil {
		p.add(` AND (c.home = ? OR EXISTS (SELECT FROM added d WHERE d.home = ? AND d.capture = c.id))`, a.at, a.at)
	}
}

// capture are conditions for the capture c in which something was seen.
func (a *ask) capture(p *part) {
	a.member(p)
	if a.onlyHashes() {
		return // then a text itself has the hash, or a capture, which held finds
	}
	for _, h := range a.hashes {
		p.add(` AND EXISTS (SELECT FROM object o WHERE o.capture = c.n AND o.digest BETWEEN ? AND ?)`, h[0], h[1])
	}
}

// linked are conditions for the addresses that stand beside the text t in one place.
func (a *ask) linked(p *part, place string) {
	for i, terms := range [][]search.Term{a.urls, a.notURL} {
		for _, t := range terms {
			p.add([]string{` AND EXISTS`, ` AND NOT EXISTS`}[i]+` (SELECT FROM linked l JOIN address d ON d.n = l.address WHERE l.text = t.n AND `+place+` AND d.body LIKE ?)`, like(t))
		}
	}
}
