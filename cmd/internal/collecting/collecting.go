// Package collecting is what a process that captures lets others know of itself: that it
// is there, what it cannot do now, and why Tasks wait. Who only looks at a Task (a door, a
// list) says with it why nothing comes of it.
//
// A [Sign] is a hint of a moment: it is evidence of nothing and guards nothing. Where it is
// lost a Task waits without a why, as it did before anybody said one; it dies with its
// process, so nobody is told of what a dead one could not do.
package collecting

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast"
)

// Bounds of a Sign: MaxSign is its size in bytes, MaxWhy that of one reason, MaxTasks how
// many Tasks it names: those of which it learned last.
const (
	MaxSign  = 128 << 10
	MaxWhy   = 400
	MaxTasks = 200
)

// Whose reason it is.
const (
	Node = "node" // another node, or this one later, may do what this one cannot
	Task = "task" // of the Task, whoever takes it
	Gone = "gone" // it was given up
)

// Why is a reason of one Task.
type Why struct {
	Task holdfast.ID `json:"task"`
	Of   string      `json:"of"` // [Node], [Task] or [Gone]
	Text string      `json:"text"`
}

// Sign is what one process says of itself.
type Sign struct {
	Process  string `json:"process"`  // random
	Node     string `json:"node"`     // its name
	Web      string `json:"web"`      // why no page can be captured now; "": as far as it knows one can
	Telegram string `json:"telegram"` // likewise, what Telegram is asked for
	Tasks    []Why  `json:"tasks"`    // newest first
}

// Encode returns it within the bounds: what is too long is cut, the oldest Tasks go.
func (s Sign) Encode() ([]byte, error) {
	s.Node, s.Web, s.Telegram = line(s.Node), line(s.Web), line(s.Telegram)
	room := MaxSign - 8<<10 // for the rest: three lines, each byte written as six at most
	all := s.Tasks
	s.Tasks = []Why{}
	for _, k := range all[:min(len(all), MaxTasks)] {
		k.Text = line(k.Text)
		b, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("encode sign of life: %w", err)
		}
		if room -= len(b) + 1; room < 0 {
			break
		}
		s.Tasks = append(s.Tasks, k)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode sign of life: %w", err)
	}
	return b, nil
}

// line is a reason as one line of at most MaxWhy bytes.
func line(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) <= MaxWhy {
		return text
	}
	end := MaxWhy - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Decode reads one. What a newer holdfast adds is left out.
func Decode(b []byte) (s Sign, err error) {
	if len(b) > MaxSign {
		return s, fmt.Errorf("read sign of life: %d bytes, at most %d", len(b), MaxSign)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read sign of life: %w", err)
	}
	return s, nil
}

// State is how a Task stands for who looks at it.
type State int

const (
	Free State = iota // its time has come, and nobody has it
	Due               // its time comes
	Held              // somebody has it
	Over              // it is in no queue any more
)

// Of says why nothing comes of a Task; "": nobody says so. That one process cannot do it
// is no reason while another may; of several the answer names each, three at most.
func Of(signs []Sign, id holdfast.ID, telegram bool, is State) string {
	if is == Held {
		return ""
	}
	able := false
	by := map[string]string{} // text, by node
	for _, s := range signs {
		k := s.of(id)
		switch {
		case is == Over && k.Of == Gone, is != Over && k.Of == Task:
			return k.Text
		case is != Free:
		case k.Of == Node:
			by[s.Node] = k.Text
		case telegram && s.Telegram != "":
			by[s.Node] = s.Telegram
		case !telegram && s.Web != "":
			by[s.Node] = s.Web
		default:
			able = true
		}
	}
	if able {
		return ""
	}
	return join(by)
}

func (s Sign) of(id holdfast.ID) Why {
	if at := slices.IndexFunc(s.Tasks, func(k Why) bool { return k.Task == id }); at >= 0 {
		return s.Tasks[at]
	}
	return Why{}
}

func join(by map[string]string) string {
	const most = 3
	nodes := slices.Sorted(maps.Keys(by))
	var said []string
	for _, node := range nodes[:min(len(nodes), most)] {
		text := by[node]
		if node != "" {
			text = node + ": " + text
		}
		said = append(said, text)
	}
	if more := len(nodes) - most; more > 0 {
		said = append(said, fmt.Sprintf("and %d more nodes", more))
	}
	return strings.Join(said, "; ")
}
