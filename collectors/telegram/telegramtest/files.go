package telegramtest

import (
	"encoding/binary"
	"fmt"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// Photo adds a photo in the sizes m and y, of which y is the larger, and returns
// the media of a message with it.
func (w *World) Photo(id int64, m, y []byte) *tg.MessageMediaPhoto {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.photos == nil {
		w.photos = map[int64]map[string][]byte{}
	}
	w.photos[id] = map[string][]byte{"m": m, "y": y}
	p := &tg.Photo{ID: id, AccessHash: id + 1, FileReference: binary.BigEndian.AppendUint64(nil, w.reference), Date: int(w.Now().Unix()), DCID: FileDC,
		Sizes: []tg.PhotoSizeClass{&tg.PhotoStrippedSize{Type: "i", Bytes: []byte{1, 2, 3}}, &tg.PhotoSize{Type: "m", W: 320, H: 200, Size: len(m)},
			&tg.PhotoSizeProgressive{Type: "y", W: 1280, H: 800, Sizes: []int{len(y) / 3, len(y)}}}}
	media := &tg.MessageMediaPhoto{}
	media.SetPhoto(p)
	return media
}

// SetPhoto makes a photo of [World.Photo] the channel's own.
func (c *Channel) SetPhoto(m *tg.MessageMediaPhoto) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.photo = m.Photo.(*tg.Photo)
}

// Move puts a file into another data centre than its messages say.
func (w *World) Move(id int64, dc int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.homes == nil {
		w.homes = map[int64]int{}
	}
	w.homes[id] = dc
}

// Misstate makes the hash of the part at a byte a wrong one; -1: no hashes of the
// file are told at all.
func (w *World) Misstate(id, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = map[int64]int64{}
	}
	w.told[id] = at
}

// Shorten takes bytes from the end of a document, whose messages go on saying how
// large it was.
func (w *World) Shorten(id int64, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[id] = w.files[id][:len(w.files[id])-by]
}

func fileID(in tg.InputFileLocationClass) int64 {
	switch l := in.(type) {
	case *tg.InputDocumentFileLocation:
		return l.ID
	case *tg.InputPhotoFileLocation:
		return l.ID
	}
	return 0
}

// place sends whoever asks another data centre than the file's to that.
func (w *World) place(dc int, in tg.InputFileLocationClass) error {
	home := FileDC
	if at, ok := w.homes[fileID(in)]; ok {
		home = at
	}
	if dc != home {
		return tgerr.New(303, fmt.Sprintf("FILE_MIGRATE_%d", home))
	}
	return nil
}

// partAsked is a question for the part of a file at a byte. One that a client sends
// once more, because it heard nothing, has the number that it had.
type partAsked struct{ session, message, at int64 }

// Parts returns how often the part of a file at each byte was asked for.
func (w *World) Parts(id int64) map[int64]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[int64]int{}
	for k := range w.parts[id] {
		all[k.at]++
	}
	return all
}

func (w *World) countPart(id int64, k partAsked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.parts == nil {
		w.parts = map[int64]map[partAsked]bool{}
	}
	if w.parts[id] == nil {
		w.parts[id] = map[partAsked]bool{}
	}
	w.parts[id][k] = true
}
