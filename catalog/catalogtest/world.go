package catalogtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// World is what a node might have accepted and sealed: Cases, captures of a few
// Sources, Events that open Cases and number exhibits, repeated messages, two
// Manifests under one ID, Seals in every state.
type World struct {
	Messages []Message
	Batches  []Batch
	Cases    []holdfast.ID

	rnd      *rand.Rand
	node     string
	queue    string
	chains   []holdfast.ID
	lines    []int64
	exhibits []int
	clock    time.Time
	pageAt   holdfast.Time // of the newest page
	channels []*channel
	said     []saying
	spoken   uint64
}

// Message is a normalised message with the small Objects that rode in it.
type Message struct {
	ID       holdfast.ID
	Case     holdfast.ID
	Kind     string
	Position int64
	Manifest []byte
	Line     []byte   // of an Event
	Small    [][]byte // with Line
	Posts    [][]byte // of its Objects of role posts
	Page     [][]byte // text.txt, page.json and perhaps frames.txt
}

// Batch is a run of Messages under one Seal.
type Batch struct {
	Seal     catalog.SealState // with Members and Placed once Pack was called
	Plan     holdfast.Plan
	Packs    map[string][]byte
	Messages []Message
}

// New makes a World of so many captures; per is how many messages a Seal takes.
func New(seed uint64, captures, per int) *World {
	w := &World{
		rnd: rand.New(rand.NewPCG(seed, 7)), node: "test.0123456789abcdef", queue: "00112233445566aa",
		clock: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
	}
	for i := range 4 {
		w.Cases, w.chains = append(w.Cases, w.id()), append(w.chains, w.id())
		w.lines, w.exhibits = append(w.lines, 0), append(w.exhibits, 0)
		w.event(i, "opened", map[string]any{"name": fmt.Sprintf("2026-%03d", i)})
	}
	for i := range captures {
		home := w.rnd.IntN(len(w.Cases))
		m := w.acquire(i, home)
		switch i % 29 {
		case 3: // delivered again
			m.Position = int64(len(w.Messages))
			w.Messages = append(w.Messages, m)
		case 11:
			w.export(home, m.ID)
		case 5, 6:
			w.change(home)
		case 13: // at home anywhere, this Case too
			w.line(w.rnd.IntN(len(w.Cases)), "added", []string{string(m.ID), "not-an-id"}, nil)
		case 19, 20, 21:
			w.line(home, "collected", []string{string(m.ID)}, nil)
		case 23: // under a home that it does not have
			w.line((home+1)%len(w.Cases), "received", []string{string(m.ID)}, nil)
		case 17: // another Manifest under a taken ID
			w.capture(home, m.ID)
		case 25:
			w.answer(home, m.ID, false)
		}
	}
	w.seal(per)
	return w
}

// bytes draws n bytes; the same seed draws the same.
func (w *World) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rnd.Uint32())
	}
	return b
}

func (w *World) id() holdfast.ID { return holdfast.ID(fmt.Sprintf("%x", w.bytes(16))) }

func (w *World) tick() holdfast.Time {
	w.clock = w.clock.Add(time.Duration(w.rnd.IntN(3)) * time.Millisecond) // some share a millisecond
	return holdfast.At(w.clock)
}

func (w *World) acquire(i, home int) Message {
	if i%3 == 1 {
		return w.answer(home, w.id(), true)
	}
	return w.capture(home, w.id())
}

func (w *World) capture(home int, id holdfast.ID) Message {
	small := [][]byte{w.bytes(130)}
	if w.rnd.IntN(4) == 0 {
		small[0] = []byte("a small Object that many captures share")
	}
	m := w.manifest(home, id, holdfast.KindCapture, holdfast.Source(fmt.Sprintf("https://host/%d?q=ü", w.rnd.IntN(7))))
	page := w.read(m)
	dom, text, derived := object("dom.html", small[0]), object("text.txt", page[0]), object("page.json", page[1])
	dom.Role, derived.Role = "dom", catalog.RolePage
	m.Objects = []holdfast.Object{dom, derived, text}
	if len(page) > 2 {
		frames := object("frames.txt", page[2])
		frames.Role = catalog.RoleFrames
		m.Objects = []holdfast.Object{dom, frames, derived, text}
	}
	return w.message(m, Message{Small: append(small, page...), Page: page})
}

func (w *World) export(home int, ids ...holdfast.ID) {
	given := []map[string]string{}
	for _, id := range ids {
		w.exhibits[home]++
		given = append(given, map[string]string{"capture": string(id), "number": fmt.Sprint(w.exhibits[home])})
	}
	w.event(home, "exporting", map[string]any{"exhibits": given})
}

// change draws a record; one in five is empty, and one in five is older by the
// clock than the line before it.
func (w *World) change(home int) {
	x := map[string]any{"reference": fmt.Sprint(w.rnd.IntN(1000)), "keywords": []string{"ü"}, "depth": w.rnd.IntN(3), "until": holdfast.At(w.clock)}
	switch w.rnd.IntN(5) {
	case 0:
		w.line(home, "changed", nil, nil)
		return
	case 1:
		now := w.clock
		w.clock = now.Add(-time.Hour)
		defer func() { w.clock = now }()
	}
	w.line(home, "changed", nil, x)
}

func (w *World) event(home int, action string, x any) { w.line(home, action, nil, x) }

func (w *World) line(home int, action string, objects []string, x any) {
	w.lines[home]++
	n, chain := w.lines[home], w.chains[home]
	line := holdfast.Line{Action: action, At: w.tick(), Case: w.Cases[home], Chain: chain, N: n, Node: w.node, Nonce: w.nonce(), Objects: objects}
	if x != nil {
		line.X = must(json.Marshal(x))
	}
	b := must(line.Encode())
	id := holdfast.EventID(chain, n)
	m := w.manifest(home, id, holdfast.KindEvent, holdfast.Source("holdfast:case/"+string(id)))
	m.Objects = []holdfast.Object{object(catalog.LineObject, b)}
	w.message(m, Message{Line: b, Small: [][]byte{b}})
}

// Enlarge adds an export of n exhibits whose custody line is too large to ride
// in a message or to lie in a pack, and cuts the batches anew.
func (w *World) Enlarge(n int) Message {
	var ids []holdfast.ID
	for range n {
		ids = append(ids, w.id())
	}
	w.export(0, ids...)
	m := &w.Messages[len(w.Messages)-1]
	m.Small, w.Batches = nil, nil
	w.seal(24)
	return *m
}

func (w *World) nonce() string { return fmt.Sprintf("%x", w.bytes(32)) }

func (w *World) manifest(home int, id holdfast.ID, kind string, source holdfast.Source) *holdfast.Manifest {
	return &holdfast.Manifest{
		Agent: holdfast.Agent{Office: "office", Pseudonym: fmt.Sprintf("agent-%d", w.rnd.IntN(3)), Role: "analyst"},
		Case:  w.Cases[home], ID: id, Kind: kind, Source: source, Nonce: w.nonce(), Started: w.tick(), Ended: w.tick(), Training: true,
		Collection:   holdfast.Collection{Clock: holdfast.Clock{Source: "node"}, Egress: "unknown", Identity: "none", Node: w.node, Software: holdfast.Software{Name: "holdfast", Version: "test"}},
		Completeness: holdfast.Completeness{Asked: 1, Outcome: "complete"},
		Custody:      holdfast.Head{Chain: w.chains[home], Head: hashing.Of([]byte(id)), Length: w.lines[home]},
	}
}

func (w *World) message(m *holdfast.Manifest, msg Message) Message {
	msg.ID, msg.Case, msg.Kind, msg.Position, msg.Manifest = m.ID, m.Case, m.Kind, int64(len(w.Messages)), must(m.Encode())
	w.Messages = append(w.Messages, msg)
	return msg
}

func object(name string, b []byte) holdfast.Object {
	return holdfast.Object{Digest: hashing.Of(b), Name: name, Role: "text", Size: int64(len(b)), Type: "text/plain"}
}

// Accepted is the fact that the message states.
func (m Message) Accepted() (catalog.Accepted, error) {
	a, err := catalog.Read(m.Position, m.Manifest)
	if err == nil && m.Line != nil {
		err = a.ReadLine(m.Line)
	}
	for i, b := range m.Posts {
		if err == nil {
			err = a.ReadPosts(i, b)
		}
	}
	if err == nil && m.Page != nil {
		err = a.ReadPage(m.Page)
	}
	return a, err
}

// must is for what cannot fail, since the World itself has made it.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
