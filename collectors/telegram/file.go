package telegram

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/tl"
)

// Bounds of one file.
const (
	fileTurn   = 2 * time.Second // after which another Task may ask, if something came
	maxHeld    = 4               // files that are remembered between turns
	maxMoves   = 5               // from one data centre to another
	maxRenewed = 3               // new references without a part that came
)

// fetch is one turn at a file.
type fetch struct {
	t    *act
	f    File
	p    *partial
	dc   int
	got  bool // something came in this turn
	last bool // the last part has come
	end  *end // why no more can come

	covered  int64 // up to where the service has given hashes
	unhashed bool  // it gives no further ones
	moves    int
	renewed  int
}

// end is why a file cannot be had, or not all of it.
type end struct{ code, detail string }

// file acquires a file, or goes on with it; turns of some seconds each, so that
// whoever waits for news of a channel does not wait for a film.
func (t *act) file(ctx context.Context, req collectors.Request, keep collectors.Keeper) error {
	f := *t.wish.File
	if f.Post != t.name.Post || f.ID == 0 || f.DC < 1 || f.DC > maxDC || f.Channel <= 0 || f.Size < 0 {
		return fmt.Errorf("file %d: %w", f.ID, collectors.ErrRefused)
	}
	p, err := t.c.takeUp(&f)
	if err != nil {
		return err
	}
	g := &fetch{t: t, f: f, p: p, dc: f.DC}
	if err := g.replay(); err != nil {
		return err
	}
	limited, stop := context.WithDeadline(ctx, t.deadline)
	defer stop()
	if err := g.all(limited); err != nil {
		var later *collectors.Later
		if errors.As(err, &later) { // after any other error it is read again from the disk
			later.Progress = g.got
			t.c.hold(p)
		}
		return err
	}
	return g.finish(ctx, req, keep)
}

// takeUp opens what there is of a file. The last ones are remembered, so that they
// are not read again each turn.
func (c *Collector) takeUp(f *File) (*partial, error) {
	if c.o.Partial == "" {
		return nil, errors.New("there is no directory for files that are on their way")
	}
	dir := partialDir(c.o.Partial, c.account, f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.held[dir]; p != nil {
		delete(c.held, dir)
		return p, nil
	}
	return openPartial(c.o.Partial, dir)
}

func (c *Collector) hold(p *partial) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || len(c.held) >= maxHeld {
		c.held = map[string]*partial{}
	}
	c.held[p.dir] = p
}

// replay finds out from the lines where the last turn has come to.
func (g *fetch) replay() error {
	for _, x := range g.p.lines {
		switch {
		case x.In == nameFile:
			g.dc, g.last = x.DC, x.Length < partSize
		case x.In == nameHashes:
			if err := g.cover(x); err != nil {
				return err
			}
		case x.In == nameAnswers:
			b, err := g.p.bytes(x)
			if err != nil {
				return fmt.Errorf("take up file: %w", err)
			}
			if x.Method == "contacts.resolveUsername" {
				g.resolved(b)
			} else {
				g.relocate(b)
			}
			g.end = nil // it is asked again, if that is still so
		}
	}
	return nil
}

// all asks until nothing more is to come, or the turn is over.
func (g *fetch) all(ctx context.Context) error {
	begun := time.Now()
	if g.f.Account != g.t.c.account {
		if err := g.renew(ctx); err != nil {
			return err
		}
	}
	for g.end == nil {
		have, err := g.p.sizes[nameFile], error(nil)
		switch {
		case !g.unhashed && g.covered < have:
			err = g.hashes(ctx)
		case g.last || g.f.Size > 0 && have >= g.f.Size:
			return nil
		case have >= maxFile || g.t.wish.MaxSize > 0 && have >= g.t.wish.MaxSize:
			g.end = &end{"media-too-large", fmt.Sprintf("the service did not say how large the file is, and it goes on behind byte %d", have)}
		case g.got && time.Since(begun) > fileTurn:
			return &collectors.Later{At: g.t.c.o.Now(), Why: fmt.Sprintf("%d of %d bytes have come", have, g.f.Size)}
		default:
			err = g.part(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part asks for the next part.
func (g *fetch) part(ctx context.Context) error {
	x, bad, err := g.ask(ctx, g.dc, &tg.UploadGetFileRequest{Location: g.f.location(), Offset: g.p.sizes[nameFile], Limit: partSize})
	if err != nil {
		return err
	}
	if bad != nil {
		return g.refused(ctx, x, bad)
	}
	d, err := readPart(x.Answer)
	if err != nil {
		g.end = &end{"unread", fmt.Sprintf("the part at byte %d cannot be read: %v", g.p.sizes[nameFile], err)}
		if errors.Is(err, errCDN) {
			g.end.code = "cdn-redirect"
		}
		return g.note(x, nil, nameAnswers, x.Answer)
	}
	g.got, g.last, g.moves, g.renewed = true, len(d.b) < partSize, 0, 0
	return g.note(x, func(l *fileExchange) { l.Type, l.MTime = d.kind, d.mtime }, nameFile, d.b)
}

// hashes asks for the service's own hashes from where they end.
func (g *fetch) hashes(ctx context.Context) error {
	x, bad, err := g.ask(ctx, g.dc, &tg.UploadGetFileHashesRequest{Location: g.f.location(), Offset: g.covered})
	if err != nil {
		return err
	}
	if bad != nil {
		if err := g.refused(ctx, x, bad); err != nil {
			return err
		}
		if g.end != nil { // the file itself may come all the same
			g.end, g.unhashed = nil, true
		}
		return nil
	}
	if err := g.note(x, nil, nameHashes, x.Answer); err != nil {
		return err
	}
	return g.cover(g.p.lines[len(g.p.lines)-1])
}

// cover notes up to where an answer's hashes go.
func (g *fetch) cover(x fileExchange) error {
	b, err := g.p.bytes(x)
	if err != nil {
		return fmt.Errorf("read hashes: %w", err)
	}
	before := g.covered
	for _, h := range readHashes(b) {
		if h.Offset <= g.covered {
			g.covered = max(g.covered, h.Offset+int64(h.Limit))
		}
	}
	g.unhashed = g.covered == before
	return nil
}

// ask asks one question, and notes it where the answer is an error.
func (g *fetch) ask(ctx context.Context, dc int, r request) (*Exchange, *refusal, error) {
	x, bad, err := g.t.askAt(ctx, dc, r)
	if err == nil && bad != nil {
		err = g.note(x, func(l *fileExchange) { l.Error = bad }, "", nil)
	}
	return x, bad, err
}

// note writes down an exchange, and where its bytes are.
func (g *fetch) note(x *Exchange, more func(*fileExchange), in string, b []byte) error {
	l := fileExchange{Account: g.t.c.account, DC: x.DC, In: in, Kind: RoleExchange, Layer: tl.Layer, Method: x.Method, Received: stamp(x.Received),
		Request: x.Request, Sent: stamp(x.Sent), Training: g.t.c.o.Training, Version: 1}
	if l.DC == 0 {
		l.DC = g.t.c.o.Line.DC()
	}
	if x.Answer != nil {
		d := hashing.Of(x.Answer)
		l.Answer = &d
	}
	if more != nil {
		more(&l)
	}
	return g.p.add(l, b)
}

// refused goes where the service says, or asks for a new reference; what else it
// says is the end.
func (g *fetch) refused(ctx context.Context, x *Exchange, bad *refusal) error {
	said := string(bad.Type)
	if n, ok := strings.CutPrefix(said, "FILE_MIGRATE_"); ok {
		dc, err := strconv.Atoi(n)
		if g.moves++; err == nil && dc >= 1 && dc <= maxDC && g.moves <= maxMoves {
			g.dc = dc
			return nil
		}
	}
	if strings.HasPrefix(said, "FILE_REFERENCE_") {
		if g.renewed++; g.renewed <= maxRenewed {
			return g.renew(ctx)
		}
	}
	code, detail := reasonOf(g.t.name, bad)
	g.end = &end{code, fmt.Sprintf("%s at byte %d: %s", x.Method, g.p.sizes[nameFile], detail)}
	return nil
}

// renew asks for the message anew, which has a new reference of the file.
func (g *fetch) renew(ctx context.Context) error {
	t := g.t
	if g.f.Account != t.c.account {
		if err := g.resolve(ctx); err != nil || g.end != nil {
			return err
		}
	}
	ch := &tg.InputChannel{ChannelID: g.f.Channel, AccessHash: g.f.ChannelHash}
	var r request = &tg.ChannelsGetMessagesRequest{Channel: ch, ID: []tg.InputMessageClass{&tg.InputMessageID{ID: g.f.Post}}}
	switch {
	case g.f.Story > 0:
		r = &tg.StoriesGetStoriesByIDRequest{Peer: &tg.InputPeerChannel{ChannelID: g.f.Channel, AccessHash: g.f.ChannelHash}, ID: []int{g.f.Story}}
	case g.f.Post == 0:
		r = &tg.ChannelsGetFullChannelRequest{Channel: ch}
	}
	x, bad, err := g.ask(ctx, 0, r)
	if err != nil {
		return err
	}
	if bad != nil {
		code, detail := reasonOf(t.name, bad)
		g.end = &end{code, detail}
		return nil
	}
	if err := g.note(x, nil, nameAnswers, x.Answer); err != nil {
		return err
	}
	g.relocate(x.Answer)
	return nil
}

// resolve finds the channel for another account than the one that saw the post.
func (g *fetch) resolve(ctx context.Context) error {
	x, bad, err := g.ask(ctx, 0, &tg.ContactsResolveUsernameRequest{Username: g.t.name.Channel})
	if err != nil {
		return err
	}
	if bad != nil {
		code, detail := reasonOf(g.t.name, bad)
		g.end = &end{code, detail}
		return nil
	}
	if g.resolved(x.Answer) {
		return g.note(x, nil, nameAnswers, x.Answer)
	}
	peer, _, err := readResolved(x.Answer)
	if err != nil {
		g.end = &end{"unread", fmt.Sprintf("who has the name @%s cannot be read from the answer: %v", g.t.name.Channel, err)}
	} else {
		g.end = &end{"another-channel", fmt.Sprintf("@%s is not the name of channel %d any more", g.t.name.Channel, g.f.Channel)}
	}
	if _, ok := peer.(*tg.PeerChannel); peer != nil && !ok { // a person, whose record is not kept
		return g.note(x, nil, "", nil)
	}
	return g.note(x, nil, nameAnswers, x.Answer)
}

// resolved reads this account's hash of the channel.
func (g *fetch) resolved(answer []byte) bool {
	peer, chats, err := readResolved(answer)
	p, ok := peer.(*tg.PeerChannel)
	if err != nil {
		return false
	}
	for _, k := range chats {
		if ch, is := k.(*tg.Channel); is && ok && ch.ID == g.f.Channel && p.ChannelID == ch.ID {
			g.f.ChannelHash, g.f.Account = ch.AccessHash, g.t.c.account
			return true
		}
	}
	return false
}

// relocate reads where the file is from an answer that has its message, or channel.
func (g *fetch) relocate(answer []byte) {
	if g.f.Post == 0 && g.f.Story == 0 {
		if f, ok := channelPhoto(answer); ok && f.ID == g.f.ID {
			g.moved(f)
		} else {
			g.end = &end{"file-replaced", "the channel has this photo no more"}
		}
		return
	}
	a, err := tl.Split(answer)
	if err != nil {
		g.end = &end{"unread", fmt.Sprintf("the message was asked for anew, and the answer cannot be read: %v", err)}
		return
	}
	if g.f.Story > 0 {
		g.relocateStory(a)
		return
	}
	for _, m := range a.Messages {
		if m.ID != g.f.Post {
			continue
		}
		for _, f := range filesOf(m.TL) {
			if f.ID == g.f.ID && f.Photo == g.f.Photo {
				g.moved(f)
				return
			}
		}
		if _, gone := m.TL.(*tg.MessageEmpty); !gone {
			g.end = &end{"file-replaced", fmt.Sprintf("post %d has this file no more", g.f.Post)}
			return
		}
	}
	g.end = &end{"message-gone", fmt.Sprintf("post %d is not there any more, so nobody can ask for its file", g.f.Post)}
}

func (g *fetch) relocateStory(a *tl.Answer) {
	for _, i := range a.Items {
		k, ok := i.TL.(*tg.StoryItem)
		if !ok || i.ID != g.f.Story {
			continue
		}
		for _, f := range filesIn(k.Media, 0) {
			if f.ID == g.f.ID && f.Photo == g.f.Photo {
				g.moved(f)
				return
			}
		}
	}
	g.end = &end{"message-gone", fmt.Sprintf("story %d is not there any more, so nobody can ask for its file", g.f.Story)}
}

func (g *fetch) moved(f File) {
	g.f.Hash, g.f.Reference, g.f.Account = f.Hash, f.Reference, g.t.c.account
}

// part is one answer of upload.getFile.
type part struct {
	kind  string
	mtime int
	b     []byte
}

// errCDN: the service points to another party's server, whose bytes come under a
// key of its own; without being asked to it never does.
var errCDN = errors.New("the service sends whoever asks to a CDN, which is not followed")

func readPart(raw []byte) (p part, err error) {
	b := bin.Buffer{Buf: raw}
	if id, err := b.PeekID(); err == nil && id == tg.UploadFileCDNRedirectTypeID {
		return p, errCDN
	}
	if err := b.ConsumeID(tg.UploadFileTypeID); err != nil {
		return p, err
	}
	id, err := b.ID()
	if err != nil {
		return p, err
	}
	p.kind = storageType(id)
	if p.mtime, err = b.Int(); err != nil {
		return p, err
	}
	p.mtime = max(p.mtime, 0)
	if p.b, err = b.Bytes(); err == nil && (len(b.Buf) > 0 || len(p.b) > partSize) {
		err = fmt.Errorf("%d bytes, and %d behind them", len(p.b), len(b.Buf))
	}
	return p, err
}

// storageType is what the service takes a file for, as the schema names it.
func storageType(id uint32) string {
	switch id {
	case tg.StorageFileUnknownTypeID:
		return "storage.fileUnknown"
	case tg.StorageFilePartialTypeID:
		return "storage.filePartial"
	case tg.StorageFileJpegTypeID:
		return "storage.fileJpeg"
	case tg.StorageFileGifTypeID:
		return "storage.fileGif"
	case tg.StorageFilePngTypeID:
		return "storage.filePng"
	case tg.StorageFilePdfTypeID:
		return "storage.filePdf"
	case tg.StorageFileMp3TypeID:
		return "storage.fileMp3"
	case tg.StorageFileMovTypeID:
		return "storage.fileMov"
	case tg.StorageFileMp4TypeID:
		return "storage.fileMp4"
	case tg.StorageFileWebpTypeID:
		return "storage.fileWebp"
	}
	return fmt.Sprintf("%#08x", id)
}
