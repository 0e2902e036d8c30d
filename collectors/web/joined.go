package web

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/collectors"
	"holdfast/collectors/web/stream"
)

func bufioReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

// errListed: what the pieces make together is on a list of what is never kept.
var errListed = errors.New("is on a list of what is never kept")

// joinFilms makes one file of each track that came: its pieces, one behind the other. What
// cannot be joined so is a note; of what did not come whole there is a reason.
func (x *capture) joinFilms(a *collectors.Acquired) (out []file, err error) {
	if x.rec.films == nil {
		return nil, nil
	}
	count := map[string]int{}
	for _, m := range x.rec.films.made {
		if m.why != "" {
			a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("A list of a stream was not followed (%s): %s.", clean(m.list.x.url), clean(m.why)))
			continue
		}
		for _, t := range m.tracks {
			f, why, err := x.join(t, count)
			if err != nil {
				return nil, err
			}
			if f.name != "" {
				out = append(out, f)
			}
			asked := fmt.Sprintf("%s of %s: %d pieces; the recorder asked %d times for what the page had not", strings.TrimSpace(t.Kind+" "+t.ID), clean(m.list.x.url), len(t.pieces), t.asked)
			if t.gone > 0 || t.why != "" && t.Whole {
				a.Reasons = append(a.Reasons, collectors.Reason{Code: "stream-incomplete", Detail: clean(strings.TrimSuffix(fmt.Sprintf("%s; %d did not come; %s", asked, t.gone, t.why), "; "))})
			}
			if why == errListed.Error() {
				a.Reasons = append(a.Reasons, collectors.Reason{Code: "never-keep-unchecked", Detail: clean(asked + "; what they make together " + why + ", and is not made; none of them alone is")})
			}
			if f.name == "" {
				asked += "; no one file was made of it: " + why
			} else {
				asked += "; " + f.name + " is all of them"
			}
			a.Collection.Notes = append(a.Collection.Notes, clean(asked)+".")
		}
	}
	return out, nil
}

// join makes the file of one track, or says why there is none.
func (x *capture) join(t *filmTrack, count map[string]int) (f file, why string, err error) {
	ending, kind := container(t)
	switch {
	case len(x.rec.taken) > 0:
		return f, "something of the capture was not kept", nil
	case t.why != "":
		return f, t.why, nil
	case t.gone > 0 || len(t.pieces) == 0:
		return f, fmt.Sprintf("%d of %d pieces did not come", t.gone, len(t.pieces)), nil
	case t.Protected:
		return f, "it is encrypted for a player with rights management; the pieces are in the record", nil
	case t.Maps > 1:
		return f, "it changes its form on the way; the pieces are in the record", nil
	case ending == "":
		return f, "pieces of this type do not make a file when they are put behind each other; they are in the record", nil
	}
	count[t.Kind]++
	f = file{name: fmt.Sprintf("%s-%d.%s", t.Kind, count[t.Kind], ending), role: "film", mediaType: kind}
	f.path = filepath.Join(x.dir, f.name)
	how := "pieces in the order of the list, one behind the other, nothing changed"
	if slices.ContainsFunc(t.Pieces, func(p stream.Piece) bool { return p.Key != nil }) {
		how = "pieces in the order of the list, decrypted (AES-128-CBC) with the keys in the record, one behind the other"
	}
	words := &stream.Words{}
	inMP4 := t.Kind == "text" && mp4Words(t)
	if t.Kind != "text" || len(t.pieces) == 1 && !inMP4 {
		words = nil
	}
	f.derived = &collectors.Transformation{Action: "join-stream", Inputs: []string{"page.wacz"}, Detail: clean(fmt.Sprintf("%d %s; list: record %s", len(t.pieces), how, t.listID))}
	err = x.write(f.path, t, words)
	if err == nil {
		if inMP4 {
			if err := f.inForm(words); err != nil {
				return file{}, "", err
			}
			f.derived.Detail = clean(fmt.Sprintf("%d pieces of MP4 in the order of the list; the words in them written as %s, %d parts of cues that go on put to those before, comments left out; list: record %s",
				len(t.pieces), f.mediaType, words.Repeated, t.listID))
		} else if words != nil {
			f.derived.Detail = clean(fmt.Sprintf("%d pieces of WebVTT read in the order of the list and written as one; times of %d cues moved by X-TIMESTAMP-MAP, %d that stood in an earlier piece not repeated, %d before the beginning and comments left out; list: record %s",
				len(t.pieces), words.Moved, words.Repeated, words.Dropped, t.listID))
		}
		return f, "", nil
	}
	var disk *os.PathError
	if os.Remove(f.path); errors.As(err, &disk) {
		return file{}, "", fmt.Errorf("write %s: %w", f.name, err)
	}
	count[t.Kind]--
	return file{}, err.Error(), nil
}

// mp4Words reports whether a track of words is told to be in MP4.
func mp4Words(t *filmTrack) bool {
	return t.Init != nil || strings.Contains(t.Type, "mp4") || strings.HasSuffix(pathOf(t), ".mp4") || strings.HasSuffix(pathOf(t), ".m4s")
}

// inForm calls a file of words what it is.
func (f *file) inForm(w *stream.Words) error {
	ending, kind := w.Form()
	name := strings.TrimSuffix(f.name, filepath.Ext(f.name)) + "." + ending
	path := filepath.Join(filepath.Dir(f.path), name)
	if path != f.path {
		if err := os.Rename(f.path, path); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	f.name, f.path, f.mediaType = name, path, kind
	return nil
}

// pathOf is the last part of its pieces' address, in small letters.
func pathOf(t *filmTrack) string {
	if len(t.Pieces) == 0 {
		return ""
	}
	at, _, _ := strings.Cut(t.Pieces[0].URL, "?")
	return strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
}

// container is how a track's file is called, and its media type; "" if its pieces make none.
func container(t *filmTrack) (ending, kind string) {
	sound := func(video, audio string) string {
		if t.Kind == "audio" {
			return audio
		}
		return video
	}
	at := pathOf(t)
	switch {
	case t.Kind == "text" && mp4Words(t):
		return "vtt", "text/vtt" // or what the words turn out to be
	case t.Kind == "text" && len(t.Pieces) == 1 && (strings.Contains(t.Type, "ttml") || strings.HasSuffix(at, ".ttml")):
		return "ttml", "application/ttml+xml"
	case t.Kind == "text" && (strings.Contains(t.Type, "vtt") || strings.HasSuffix(at, ".vtt")):
		return "vtt", "text/vtt"
	case t.Kind == "text":
		return "", ""
	case strings.Contains(t.Type, "webm") || strings.HasSuffix(at, ".webm"):
		return "webm", sound("video/webm", "audio/webm")
	case strings.HasSuffix(at, ".aac") && t.Init == nil:
		return "aac", "audio/aac"
	case strings.Contains(t.Type, "mp4") || t.Init != nil || strings.HasSuffix(at, ".mp4") || strings.HasSuffix(at, ".m4s"):
		return "mp4", sound("video/mp4", "audio/mp4")
	case strings.HasSuffix(at, ".ts"):
		return "ts", "video/mp2t"
	}
	return "", ""
}

// write puts the pieces behind each other. What they make is compared with the lists as any
// body is.
func (x *capture) write(name string, t *filmTrack, words *stream.Words) error {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	known := collectors.WatchAll(x.req.NeverKeep)
	list := t.Pieces
	if t.Init != nil {
		list = append([]stream.Piece{*t.Init}, list...)
	}
	var size int64
	whole := io.MultiWriter(out, known)
	for i, p := range list {
		to := whole
		if words != nil {
			to = words
		}
		n, err := t.piece(to, t.pieces[i], p)
		if err == nil && words != nil {
			err = words.Next()
		}
		if err != nil {
			return err
		}
		if size += n; size > x.req.Budget.Bytes {
			return fmt.Errorf("it has more than %d bytes", x.req.Budget.Bytes)
		}
	}
	if words != nil {
		if size, err = words.WriteTo(whole); err != nil {
			return err
		}
	}
	if digest, _ := known.Match(); digest != "" {
		if err := overwrite(out, 0, size); err != nil {
			return err
		}
		return errListed
	}
	return nil
}

// piece copies one, decrypted if it is not as it was sent.
func (t *filmTrack) piece(w io.Writer, x *exchange, p stream.Piece) (int64, error) {
	in, err := x.response.open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	body, _, err := x.decoded(in)
	if err != nil {
		return 0, err
	}
	if p.Part() && x.status == http.StatusOK { // of the whole file
		if _, err := io.CopyN(io.Discard, body, p.From); err != nil {
			return 0, errors.New("the file is shorter than the list says")
		}
		body = io.LimitReader(body, p.Length)
	}
	if p.Key == nil {
		return io.Copy(w, body)
	}
	k := t.keys[p.Key.URL]
	if k == nil {
		return 0, errors.New("a key did not come")
	}
	key, err := k.bytes(aes.BlockSize)
	if err != nil || len(key) != aes.BlockSize {
		return 0, errors.New("a key has not 16 bytes")
	}
	return decrypt(w, body, key, p.Key.IV)
}

// decrypt undoes AES-128-CBC with its padding (RFC 8216, 4.3.2.4), with one buffer in
// memory.
func decrypt(w io.Writer, r io.Reader, key, iv []byte) (n int64, err error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return 0, err
	}
	mode := cipher.NewCBCDecrypter(c, iv)
	buf, held := make([]byte, 64<<10), []byte(nil) // the last block is held: it has the padding
	for {
		got, rerr := io.ReadFull(r, buf)
		if got%aes.BlockSize != 0 {
			return n, errors.New("a piece is no whole number of blocks")
		}
		if got > 0 {
			mode.CryptBlocks(buf[:got], buf[:got])
			m, err := w.Write(held)
			if n += int64(m); err != nil {
				return n, err
			}
			m, err = w.Write(buf[:got-aes.BlockSize])
			if n += int64(m); err != nil {
				return n, err
			}
			held = append(held[:0], buf[got-aes.BlockSize:got]...)
		}
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			break
		}
		if rerr != nil {
			return n, rerr
		}
	}
	if len(held) == 0 {
		return n, nil
	}
	pad := int(held[len(held)-1])
	if pad == 0 || pad > aes.BlockSize {
		return n, errors.New("a piece does not decrypt with its key")
	}
	m, err := w.Write(held[:len(held)-pad])
	return n + int64(m), err
}
