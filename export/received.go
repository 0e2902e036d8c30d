package export

import (
	"bytes"
	"context"
	"fmt"

	"holdfast"
	"holdfast/collectors"
	"holdfast/messages"
)

// maxHandover bounds what the page reads of how files came; a longer list is in
// the Bundle all the same.
const maxHandover = 1 << 20

// handover reads how the files of a Capture came; nil for a Capture that nobody
// handed over, and where it is withheld or too long for the page.
func (w *writer) handover(ctx context.Context, m *holdfast.Manifest, plan *shown) (*collectors.Handover, error) {
	o := m.Object(collectors.NameHandover)
	if !m.Source.IsReceived() || o == nil || o.Size > maxHandover || plan.withheld[o.Name] != "" {
		return nil, nil
	}
	var b bytes.Buffer
	if err := w.copyObject(ctx, &b, m.ID, *o); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	h, err := collectors.ParseHandover(b.Bytes())
	if err != nil {
		return nil, nil // of a newer program, or no program of ours: the file is there for who can read it
	}
	return h, nil
}

// received says first of such an exhibit what is not proven.
func (e *exhibitView) received(m *holdfast.Manifest, plan *shown, h *collectors.Handover) {
	if !m.Source.IsReceived() {
		return
	}
	e.add("received.origin", e.Say("page.received.origin.text"))
	from := "page.received.withheld"
	for _, o := range m.Objects {
		if o.Role == "disclosure" && plan.withheld[o.Name] == "" {
			from = "page.received.named"
		}
	}
	e.add("received.from", e.Say(from))
	if h != nil {
		e.add("received.on", h.Received)
		e.add("received.device", h.Device)
	}
}

// originalNames says beside each file what it was called.
func (e *exhibitView) originalNames(h *collectors.Handover) {
	if h == nil {
		return
	}
	names := make(map[string]string, len(h.Files))
	for _, f := range h.Files {
		names[f.Object] = string(f.Name)
	}
	for i := range e.Objects {
		if o := &e.Objects[i]; names[o.Name] != "" {
			o.Role = e.Say("page.received.name", "role", messages.Said(o.plain), "name", names[o.Name])
		}
	}
}
