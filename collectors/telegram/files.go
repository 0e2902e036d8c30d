package telegram

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/tl"
)

// What is wanted of the files of posts (Wish.Media). Of a post those of its
// neighbours are never wanted.
const (
	MediaNone   = "none"   // also ""
	MediaPhotos = "photos" // photos, and files that are said to be pictures
	MediaAll    = "all"
)

// Bounds of what one answer asks for: Tasks hold it, and strangers wrote it.
const (
	maxAsked     = 500  // files
	maxFileName  = 1024 // bytes; of a type 255
	maxReference = 4096
	maxSizes     = 64
	maxThumb     = 32
)

// maxDC bounds the numbers of data centres; the service has five.
const maxDC = 1000

// Roles and names of what is about files.
const (
	RoleMedia     = "media"      // the file
	RoleMediaJSON = "media-json" // what is known of it

	NameMedia  = "media.json"
	nameListed = "media.jsonl"
)

// What became of a file (mediaDoc.State).
const (
	stateAsked    = "asked"     // a Capture of its own is asked for
	stateTaken    = "taken"     // another Capture has it
	stateTooLarge = "too-large" // larger than what is wanted
	stateUnwanted = "not-wanted"
	stateAbsent   = "unavailable" // the service names no place, or none that can be asked

	stateWhole    = "whole"
	stateCut      = "cut" // the beginning of it
	stateWithheld = "withheld"
	stateFailed   = "failed" // nothing of it came
)

// File is one file of a post, or the channel's own photo (Post is 0), and where it
// was when that was seen. The hashes
// and the reference are the account's; another one asks for the post anew.
type File struct {
	Account     string `json:"account"`
	Channel     int64  `json:"channel"`
	ChannelHash int64  `json:"channel_hash"`
	Post        int    `json:"post"`
	Story       int    `json:"story,omitempty"` // it is one of this story, and of no post

	ID        int64  `json:"id"`
	Hash      int64  `json:"hash"`
	Reference []byte `json:"reference"`
	DC        int    `json:"dc"`
	Photo     bool   `json:"photo,omitempty"`
	Thumb     string `json:"thumb,omitempty"` // of a photo: which size

	Media string      `json:"media"` // as in posts.jsonl
	MIME  canon.Text  `json:"mime,omitempty"`
	Name  canon.Text  `json:"name,omitempty"`
	Size  int64       `json:"size"` // as the service says; 0: it does not
	Sizes []mediaSize `json:"sizes,omitempty"`
}

// mediaSize is one of the sizes that a photo is there in, or one more form of a
// document. Members stand in canonical order.
type mediaSize struct {
	Height int        `json:"h,omitempty"`
	Size   int64      `json:"size,omitempty"`
	Type   canon.Text `json:"type"`
	Width  int        `json:"w,omitempty"`
}

// mediaDoc is media.json, and a line of media.jsonl (docs/bundle.md, section 3).
// Members stand in canonical order.
type mediaDoc struct {
	Blocks   int             `json:"blocks,omitempty"` // the service's hashes that were checked
	Capture  string          `json:"capture,omitempty"`
	Channel  string          `json:"channel"`
	DC       int             `json:"dc,omitempty"`
	Differs  []mediaRange    `json:"differs,omitempty"` // where the bytes are not what a hash says
	Digest   *hashing.Digest `json:"digest,omitempty"`
	File     string          `json:"file,omitempty"`
	Hashed   int64           `json:"hashed,omitempty"` // how many bytes they are about
	Kind     string          `json:"kind"`
	List     string          `json:"list,omitempty"` // on which it is, where it is withheld
	Media    string          `json:"media"`
	MIME     canon.Text      `json:"mime,omitempty"`
	Name     canon.Text      `json:"name,omitempty"`
	Object   string          `json:"object,omitempty"`
	Post     int             `json:"post,omitempty"`
	Received int64           `json:"received,omitempty"` // bytes
	Size     int64           `json:"size,omitempty"`
	Sizes    []mediaSize     `json:"sizes,omitempty"`
	State    string          `json:"state"`
	Story    int             `json:"story,omitempty"`
	Taken    canon.Text      `json:"taken,omitempty"` // which of the sizes
	Training bool            `json:"training"`
	Version  int             `json:"version"`
	Why      canon.Text      `json:"why,omitempty"`
}

// mediaRange is a part of a file, in bytes.
type mediaRange struct {
	Length int64 `json:"length"`
	Offset int64 `json:"offset"`
}

func (f File) doc(training bool) mediaDoc {
	return mediaDoc{Channel: number(f.Channel), DC: f.DC, File: number(f.ID), Kind: RoleMedia, Media: f.Media, MIME: f.MIME, Name: f.Name, Post: f.Post,
		Size: f.Size, Sizes: f.Sizes, Story: f.Story, Taken: canon.Text(f.Thumb), Training: training, Version: 1}
}

// key names a file among those of its Capture, whatever else changes of it.
func (f File) key() string { return fmt.Sprintf("file/%d/%d/%s", f.Post, f.ID, f.Thumb) }

// location is where the service is asked for it.
func (f File) location() tg.InputFileLocationClass {
	if f.Photo {
		return &tg.InputPhotoFileLocation{ID: f.ID, AccessHash: f.Hash, FileReference: f.Reference, ThumbSize: f.Thumb}
	}
	return &tg.InputDocumentFileLocation{ID: f.ID, AccessHash: f.Hash, FileReference: f.Reference}
}

// filesOf lists the files of a message, as mediaOf lists what it has. One without
// an ID is one that cannot be asked for.
func filesOf(m tg.MessageClass) []File {
	switch m := m.(type) {
	case *tg.Message:
		return filesIn(m.Media, 0)
	case *tg.MessageService:
		if a, ok := m.Action.(*tg.MessageActionChatEditPhoto); ok {
			return []File{photoFile(a.Photo, "photo")}
		}
	}
	return nil
}

func filesIn(m tg.MessageMediaClass, depth int) (all []File) {
	switch m := m.(type) {
	case *tg.MessageMediaPhoto:
		return []File{photoFile(m.Photo, "photo")}
	case *tg.MessageMediaDocument:
		f := documentFile(m.Document, documentOf(m))
		for _, a := range m.AltDocuments { // the same in other qualities, made by the service
			if d, ok := a.(*tg.Document); ok && len(f.Sizes) < maxSizes {
				f.Sizes = append(f.Sizes, mediaSize{Size: bounded(d.Size), Type: "alternative " + canon.Text(number(d.ID))})
			}
		}
		return []File{f}
	case *tg.MessageMediaWebPage:
		w, ok := m.Webpage.(*tg.WebPage)
		if !ok {
			return nil
		}
		if w.Photo != nil {
			all = append(all, photoFile(w.Photo, "webpage"))
		}
		if w.Document != nil {
			k := documentOf(&tg.MessageMediaDocument{Document: w.Document})
			k.Kind = "webpage"
			all = append(all, documentFile(w.Document, k))
		}
	case *tg.MessageMediaPoll:
		for _, one := range pollMedia(m) {
			if depth == 0 && len(all) < maxListed {
				all = append(all, filesIn(one, depth+1)...)
			}
		}
	case *tg.MessageMediaPaidMedia:
		for _, e := range m.ExtendedMedia {
			x, ok := e.(*tg.MessageExtendedMedia)
			switch {
			case !ok:
				all = append(all, File{Media: "paid"})
			case depth == 0:
				all = append(all, filesIn(x.Media, depth+1)...)
			}
			if len(all) >= maxListed {
				return all[:maxListed]
			}
		}
	}
	return all
}

// photoFile is a photo in its largest size; the others are named.
func photoFile(c tg.PhotoClass, kind string) File {
	f := File{Photo: true, Media: kind, MIME: "image/jpeg"}
	p, ok := c.(*tg.Photo)
	if !ok {
		return f
	}
	best := 0
	for _, s := range p.Sizes[:min(len(p.Sizes), maxSizes)] {
		var m mediaSize
		switch s := s.(type) {
		case *tg.PhotoSize:
			m = mediaSize{Height: s.H, Size: bounded(int64(s.Size)), Type: canon.Text(s.Type), Width: s.W}
		case *tg.PhotoSizeProgressive:
			m = mediaSize{Height: s.H, Type: canon.Text(s.Type), Width: s.W}
			for _, n := range s.Sizes {
				m.Size = max(m.Size, int64(n))
			}
		default: // the message itself has it
			continue
		}
		if len(m.Type) > maxThumb {
			continue
		}
		m.Width, m.Height = min(max(m.Width, 0), 1<<20), min(max(m.Height, 0), 1<<20)
		f.Sizes = append(f.Sizes, m)
		if area := m.Width * m.Height; f.Thumb == "" || area > best || area == best && m.Size > f.Size {
			f.Thumb, f.Size, best = string(m.Type), m.Size, area
		}
	}
	if f.Thumb == "" { // nothing of it can be asked for
		return f
	}
	f.ID, f.Hash, f.Reference, f.DC = p.ID, p.AccessHash, p.FileReference, p.DCID
	return f
}

func documentFile(c tg.DocumentClass, k media) File {
	f := File{Media: k.Kind, MIME: k.MIME, Name: k.Name, Size: k.Size}
	if d, ok := c.(*tg.Document); ok {
		f.ID, f.Hash, f.Reference, f.DC = d.ID, d.AccessHash, d.FileReference, d.DCID
	}
	return f
}

// clip cuts a text that nobody writes so long.
func clip(s canon.Text, n int) canon.Text {
	if len(s) <= n {
		return s
	}
	return canon.Text(strings.ToValidUTF8(string(s[:n]), ""))
}

func bounded(n int64) int64 { return min(max(n, 0), canon.MaxInt) }

// files lists the files of an answer's messages, and asks for those that are
// wanted: each is a Capture of its own, under the post's Source.
func (t *act) files(ctx context.Context, list []tl.Message) error {
	if t.wish.Media == "" || t.wish.Media == MediaNone {
		return nil
	}
	var out lineFile
	large := 0
	album := t.albumOf(list)
	for _, m := range list[:min(len(list), maxMessages)] {
		if t.name.Post > 0 && m.ID != t.name.Post && (album == 0 || groupOf(m) != album) || m.ID < 1 {
			continue
		}
		lines, over, err := t.filesListed(ctx, filesOf(m.TL), m.ID)
		if err != nil {
			return err
		}
		large += over
		if len(lines) > 0 {
			out.add("m-"+strconv.Itoa(m.ID), lines)
		}
	}
	t.tooLarge(large)
	if len(out.b) > 0 {
		t.pieces = append(t.pieces, piece{name: nameListed, role: RoleMediaJSON, media: typeLines, b: out.b, slices: out.slices, from: nameAnswer, action: "list-media"})
	}
	return nil
}

// filesListed lists the files of one post, or of a story, which is of post 0: lines
// without the last LF, and how many of them are too large.
func (t *act) filesListed(ctx context.Context, all []File, post int) (b []byte, large int, err error) {
	var lines []string
	for _, f := range all {
		f.MIME, f.Name = clip(f.MIME, 255), clip(f.Name, maxFileName)
		f.Account, f.Channel, f.ChannelHash, f.Post = t.c.account, t.cur.Channel, t.cur.Hash, post
		d, err := t.listed(ctx, f)
		if err != nil {
			return nil, 0, err
		}
		if d.State == stateTooLarge {
			large++
		}
		line, err := canon.Append(nil, d)
		if err != nil {
			return nil, 0, fmt.Errorf("list file %d of post %d: %w", f.ID, f.Post, err)
		}
		lines = append(lines, string(line))
	}
	return []byte(strings.Join(lines, "\n")), large, nil
}

// tooLarge says of how many files that they were not taken for their size.
func (t *act) tooLarge(n int) {
	if n > 0 {
		t.a.Reasons = append(t.a.Reasons, collectors.Reason{Code: "media-too-large", Detail: fmt.Sprintf("%d files of more than %d bytes were not taken; %s lists them", n, t.wish.MaxSize, nameListed)})
	}
}

// photo lists the channel's own photo, and asks for it, under the channel's Source.
func (t *act) photo(ctx context.Context, answer []byte, ch *tg.Channel) error {
	if t.wish.Media == "" || t.wish.Media == MediaNone || t.name.Post > 0 || len(t.wish.IDs) > 0 || t.wish.Only != "" {
		return nil
	}
	f, ok := channelPhoto(answer)
	if !ok {
		return nil
	}
	f.Account, f.Channel, f.ChannelHash = t.c.account, ch.ID, ch.AccessHash
	d, err := t.listed(ctx, f)
	if err != nil {
		return err
	}
	line, err := canon.Append(nil, d)
	if err != nil {
		return fmt.Errorf("list the photo of the channel: %w", err)
	}
	t.pieces = append(t.pieces, piece{name: nameListed, role: RoleMediaJSON, media: typeLines, b: append(line, '\n'), from: "channel." + nameAnswer, action: "list-media"})
	return nil
}

// channelPhoto reads it from an answer of channels.getFullChannel.
func channelPhoto(answer []byte) (f File, ok bool) {
	var c tg.MessagesChatFull
	if tl.Decode(answer, &c) != nil {
		return f, false
	}
	full, ok := c.FullChat.(*tg.ChannelFull)
	if !ok {
		return f, false
	}
	p, ok := full.ChatPhoto.(*tg.Photo)
	if !ok {
		return f, false
	}
	return photoFile(p, "photo"), true
}

// listed decides what becomes of a file, and asks for it where it is wanted.
func (t *act) listed(ctx context.Context, f File) (d mediaDoc, err error) {
	d = f.doc(t.c.o.Training)
	source := Name{Channel: t.name.Channel, Post: f.Post}.Source()
	switch {
	case f.ID == 0 || f.DC < 1 || f.DC > maxDC || len(f.Reference) > maxReference || len(f.Thumb) > maxThumb:
		d.State, d.Why = stateAbsent, "the message names no file that can be asked for"
		return d, nil
	case t.wish.Media == MediaPhotos && !f.picture():
		d.State = stateUnwanted
		return d, nil
	case t.wish.MaxSize > 0 && f.Size > t.wish.MaxSize:
		d.State, d.Why = stateTooLarge, canon.Text(fmt.Sprintf("%d bytes; at most %d were wanted", f.Size, t.wish.MaxSize))
		return d, nil
	}
	if t.taken != nil {
		if d.Capture, err = t.taken(ctx, source, number(f.ID)); err != nil {
			return d, fmt.Errorf("look for file %d of post %d: %w", f.ID, f.Post, err)
		}
		if d.Capture != "" {
			d.State = stateTaken
			return d, nil
		}
	}
	key, err := t.again(ctx, source, f, &d)
	if err != nil || key == "" {
		return d, err
	}
	if len(t.a.Further) >= maxAsked {
		d.State, d.Why = stateAbsent, canon.Text(fmt.Sprintf("one answer asks for %d files at most", maxAsked))
		return d, nil
	}
	b, err := json.Marshal(Wish{Account: t.wish.Account, MaxSize: t.wish.MaxSize, File: &f})
	if err != nil {
		return d, err
	}
	d.State = stateAsked
	t.a.Further = append(t.a.Further, collectors.Further{Source: source, Options: b, Key: key})
	return d, nil
}

// again is the key under which a file is asked for now, each time that it did not come
// another one; "" where it is not asked for: else each answer that shows its post would
// ask for it, for ever. A person who asks for the post itself has it asked for.
func (t *act) again(ctx context.Context, source string, f File, d *mediaDoc) (key string, err error) {
	if t.tried == nil || t.name.Post > 0 {
		return f.key(), nil
	}
	k, err := t.tried(ctx, source, number(f.ID))
	if err != nil {
		return "", fmt.Errorf("look for file %d of post %d: %w", f.ID, f.Post, err)
	}
	next, ok := AskAgain(k)
	switch {
	case !ok:
		d.Why = canon.Text(fmt.Sprintf("it did not come whole in %d captures, the last at %s: it is not asked for again by itself", k.Count, stamp(k.Last)))
	case next.After(t.c.o.Now()):
		d.Why = canon.Text(fmt.Sprintf("it did not come whole in %d captures, the last at %s: it is not asked for again before %s", k.Count, stamp(k.Last), stamp(next)))
	case k.Count > 0:
		return f.key() + "/" + strconv.Itoa(k.Count), nil
	default:
		return f.key(), nil
	}
	d.State, d.Capture = stateFailed, k.Capture
	return "", nil
}

// How often a file that does not come is asked for again by itself.
const (
	maxTries   = 6
	firstAgain = 30 * time.Minute // four times as long each time: 2 h, 8 h, 32 h, 5 days
)

// AskAgain says from when on a file is asked for again, with an answer that shows its
// post; false: not by itself.
func AskAgain(k collectors.Tries) (time.Time, bool) {
	if k.Count == 0 {
		return time.Time{}, true
	}
	return k.Last.Add(firstAgain << (2 * (min(k.Count, maxTries) - 1))), k.Count < maxTries
}

// picture says whether a file is one for who wants photos only.
func (f File) picture() bool {
	return f.Photo || f.Media != "sticker" && strings.HasPrefix(string(f.MIME), "image/")
}

// albumOf is the album of the post that is asked for; 0: none.
func (t *act) albumOf(list []tl.Message) int64 {
	for _, m := range list {
		if t.name.Post > 0 && m.ID == t.name.Post {
			return groupOf(m)
		}
	}
	return 0
}

func groupOf(m tl.Message) int64 {
	if k, ok := m.TL.(*tg.Message); ok {
		return k.GroupedID
	}
	return 0
}
