package stream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// hls is the state of a playlist that is read.
type hls struct {
	base     *url.URL
	tracks   []Track // of a main playlist
	track    Track   // of a media playlist
	variant  *Track  // whose address comes next
	key      *Key    // of what follows; its IV may be the number
	numbered bool    // the key has no IV of its own
	sequence uint64
	seconds  float64
	part     string           // BYTERANGE of what comes next
	ends     map[string]int64 // of the last part, by address
	media    bool
}

func parseHLS(base *url.URL, b []byte) (*List, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, MaxList+1)
	if !s.Scan() || strings.TrimSpace(s.Text()) != "#EXTM3U" {
		return nil, fmt.Errorf("no #EXTM3U: %w", ErrFormat)
	}
	h := &hls{base: base, track: Track{Kind: "video", Init: nil}, ends: map[string]int64{}}
	for n := 2; s.Scan(); n++ {
		if err := h.line(strings.TrimSpace(s.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case h.media && len(h.tracks) > 0:
		return nil, fmt.Errorf("a playlist of both kinds: %w", ErrFormat)
	case h.media:
		h.tracks = []Track{h.track}
	case len(h.tracks) == 0:
		return nil, fmt.Errorf("nothing in it: %w", ErrFormat)
	}
	return &List{Kind: "hls", Tracks: h.tracks}, nil
}

func (h *hls) line(l string) (err error) {
	if l == "" {
		return nil
	}
	if !strings.HasPrefix(l, "#") {
		return h.address(l)
	}
	tag, value, _ := strings.Cut(l, ":")
	switch tag {
	case "#EXT-X-STREAM-INF":
		a := attributes(value)
		h.variant = &Track{Kind: "video", Bandwidth: number(a["BANDWIDTH"]), Groups: some(a["AUDIO"], a["SUBTITLES"])}
		width, _, _ := strings.Cut(a["RESOLUTION"], "x")
		h.variant.Width = number(width)
		if c := a["CODECS"]; c != "" && a["RESOLUTION"] == "" && !pictured(c) {
			h.variant.Kind = "audio"
		}
	case "#EXT-X-MEDIA":
		return h.rendition(attributes(value))
	case "#EXTINF":
		d, _, _ := strings.Cut(value, ",")
		h.seconds, _ = strconv.ParseFloat(strings.TrimSpace(d), 64)
		h.media = true
	case "#EXT-X-BYTERANGE":
		h.part = value
	case "#EXT-X-MEDIA-SEQUENCE":
		h.sequence, _ = strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		h.media = true
	case "#EXT-X-TARGETDURATION":
		h.media = true
	case "#EXT-X-MAP":
		return h.mapped(attributes(value))
	case "#EXT-X-KEY":
		return h.keyed(attributes(value))
	case "#EXT-X-ENDLIST":
		h.track.Whole, h.media = true, true
	}
	return nil
}

func (h *hls) address(l string) error {
	u, err := absolute(h.base, l)
	if err != nil {
		return err
	}
	if v := h.variant; v != nil {
		v.List, v.ID, h.variant = u, fmt.Sprintf("variant %d", len(h.tracks)+1), nil
		return h.add(*v)
	}
	if h.media = true; len(h.track.Pieces) >= maxPieces {
		return fmt.Errorf("more than %d segments: %w", maxPieces, ErrFormat)
	}
	p := Piece{URL: u, Length: -1, Key: h.keyNow(), Time: h.seconds}
	if h.part != "" {
		if p.From, p.Length, err = h.bytes(u, h.part); err != nil {
			return err
		}
	}
	h.track.Pieces = append(h.track.Pieces, p)
	h.track.Seconds += max(h.seconds, 0)
	h.sequence, h.seconds, h.part = h.sequence+1, 0, ""
	return nil
}

func (h *hls) add(t Track) error {
	if len(h.tracks) >= maxTracks {
		return fmt.Errorf("more than %d tracks: %w", maxTracks, ErrFormat)
	}
	h.tracks = append(h.tracks, t)
	return nil
}

// bytes reads n[@o]; without o it goes on where the last part of the address ended.
func (h *hls) bytes(u, s string) (from, length int64, err error) {
	n, at, there := strings.Cut(strings.TrimSpace(s), "@")
	length, err = strconv.ParseInt(n, 10, 62)
	if from = h.ends[u]; err == nil && there {
		from, err = strconv.ParseInt(at, 10, 62)
	}
	if err != nil || length <= 0 || from < 0 || from > 1<<61 {
		return 0, 0, fmt.Errorf("byte range %.40q: %w", s, ErrFormat)
	}
	h.ends[u] = from + length
	return from, length, nil
}

func (h *hls) rendition(a map[string]string) error {
	kind := map[string]string{"AUDIO": "audio", "SUBTITLES": "text", "VIDEO": "video"}[a["TYPE"]]
	if kind == "" || a["URI"] == "" { // closed captions, or sound that is in the picture's own list
		return nil
	}
	u, err := absolute(h.base, a["URI"])
	if err != nil {
		return err
	}
	return h.add(Track{Kind: kind, ID: cut(a["NAME"], 100), List: u, Language: cut(a["LANGUAGE"], 40), Group: a["GROUP-ID"], Default: a["DEFAULT"] == "YES"})
}

func (h *hls) mapped(a map[string]string) error {
	u, err := absolute(h.base, a["URI"])
	if err != nil {
		return err
	}
	p := Piece{URL: u, Length: -1, Key: h.keyNow()}
	if r := a["BYTERANGE"]; r != "" {
		if p.From, p.Length, err = (&hls{ends: map[string]int64{}}).bytes(u, r); err != nil {
			return err
		}
	}
	h.media = true
	switch i := h.track.Init; {
	case i == nil:
		h.track.Init, h.track.Maps = &p, 1
	case i.URL != p.URL || i.From != p.From || i.Length != p.Length:
		h.track.Maps++
	}
	return nil
}

func (h *hls) keyed(a map[string]string) (err error) {
	h.media = true
	k := &Key{Method: a["METHOD"]}
	switch k.Method {
	case "NONE":
		h.key = nil
		return nil
	case "AES-128":
	default:
		h.track.Protected = true
	}
	if f := a["KEYFORMAT"]; f != "" && f != "identity" {
		h.track.Protected = true
	}
	if a["URI"] != "" {
		if k.URL, err = absolute(h.base, a["URI"]); err != nil {
			if k.Method == "AES-128" && !h.track.Protected {
				return err
			}
			k.URL = "" // skd: and the like
		}
	}
	if h.numbered = a["IV"] == ""; !h.numbered {
		s := strings.TrimPrefix(strings.TrimPrefix(a["IV"], "0x"), "0X")
		if k.IV, err = hex.DecodeString(s); err != nil || len(k.IV) != 16 {
			return fmt.Errorf("IV %.40q: %w", a["IV"], ErrFormat)
		}
	}
	h.key = k
	return nil
}

// keyNow is the key of the segment that comes next: without an IV of its own, the number
// of the segment is it.
func (h *hls) keyNow() *Key {
	if h.key == nil || !h.numbered {
		return h.key
	}
	k := *h.key
	k.IV = make([]byte, 16)
	binary.BigEndian.PutUint64(k.IV[8:], h.sequence)
	return &k
}

// attributes reads NAME=value,NAME="value, with a comma"; what it cannot read it leaves
// out.
func attributes(s string) map[string]string {
	out := map[string]string{}
	for s != "" && len(out) < 64 {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			_, s, _ = strings.Cut(rest, ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out
}

func number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 62)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func some(list ...string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// pictured reports whether codecs are of a picture.
func pictured(codecs string) bool {
	for _, c := range []string{"avc", "hvc", "hev", "vp0", "vp8", "vp9", "av01", "dvh", "mp4v", "theora"} {
		if strings.Contains(strings.ToLower(codecs), c) {
			return true
		}
	}
	return false
}

func cut(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD")
}
