// Package stream reads the lists that films are sent by: HLS (RFC 8216, playlists) and
// DASH (ISO 23009-1, MPD). It tells which pieces make one whole track, in order, and
// asks nobody for them. Its input may be anything.
package stream

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ErrFormat is wrapped by the error for a list that cannot be read, or that names
// more than the bounds allow.
var ErrFormat = errors.New("not a list of a stream")

// Bounds of a list.
const (
	MaxList     = 4 << 20 // bytes
	maxPieces   = 20_000  // of one track
	maxTracks   = 200
	maxAddress  = 8192
	maxAllTrack = 200_000 // pieces of all tracks of one list
)

// Piece is a file, or a part of one.
type Piece struct {
	URL    string // absolute, http or https
	From   int64  // of a part, else 0
	Length int64  // of a part, else -1: the whole file
	Key    *Key   // nil: not encrypted
	Time   float64
}

// Part reports whether only some bytes of the file are meant.
func (p Piece) Part() bool { return p.Length >= 0 }

// Key is how pieces are encrypted. Method is the list's own word for it.
type Key struct {
	Method string // "AES-128"; whatever else cannot be undone here
	URL    string // "" for a method without one
	IV     []byte // 16 bytes
}

// Track is one of picture, sound or words, in one quality.
type Track struct {
	Kind      string // "video" (sound may be in it), "audio" or "text"
	ID        string
	List      string // address of its own list, where it has one that is not read yet
	Bandwidth int64  // bits a second, as the list says; 0: not told
	Width     int64
	Type      string // media type, "" if not told
	Language  string
	Group     string   // of HLS: sounds that go with a picture
	Groups    []string // of a picture: those of its sounds and words
	Default   bool
	Init      *Piece // goes before the pieces; of HLS the first map
	Pieces    []Piece
	Whole     bool    // the pieces are all: it is no live stream, and no list was cut
	Seconds   float64 // as the list says; 0: not told
	Protected bool    // by a method of rights management: it is kept, and nobody here can play it
	Maps      int     // how many different maps there are: above 1, joining does not make one file
}

// List is what was read.
type List struct {
	Kind   string // "hls" or "dash"
	Tracks []Track
}

// Is reports whether an address and a media type are of such a list: "hls", "dash" or "".
func Is(address, mediaType string) string {
	switch strings.ToLower(mediaType) {
	case "application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl":
		return "hls"
	case "application/dash+xml":
		return "dash"
	case "text/html":
		return ""
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return ""
	case strings.HasSuffix(strings.ToLower(u.Path), ".m3u8"):
		return "hls"
	case strings.HasSuffix(strings.ToLower(u.Path), ".mpd"):
		return "dash"
	}
	return ""
}

// Parse reads a list that was found at an address. Errors: [ErrFormat].
func Parse(kind, address string, b []byte) (*List, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("address %.80q: %w", address, ErrFormat)
	}
	if len(b) > MaxList {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxList, ErrFormat)
	}
	var l *List
	switch kind {
	case "hls":
		l, err = parseHLS(base, b)
	case "dash":
		l, err = parseDASH(base, b)
	default:
		err = fmt.Errorf("kind %.20q: %w", kind, ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("read list of a stream: %w", err)
	}
	return l, nil
}

// absolute resolves an address of a list; only those of the web are any.
func absolute(base *url.URL, ref string) (string, error) {
	if len(ref) > maxAddress {
		return "", fmt.Errorf("address of %d bytes: %w", len(ref), ErrFormat)
	}
	u, err := base.Parse(strings.TrimSpace(ref))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return "", fmt.Errorf("address %.80q: %w", ref, ErrFormat)
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String(), nil
}

// Best picks what makes the film whole: the picture of the highest bandwidth that is at
// most so many bits a second (0: any; the lowest if all are above), and for it the
// sounds and words of its groups, each language once.
func (l *List) Best(most int64) (out []Track) {
	var pictures, others []Track
	for _, t := range l.Tracks {
		if t.Kind == "video" {
			pictures = append(pictures, t)
		} else {
			others = append(others, t)
		}
	}
	slices.SortStableFunc(pictures, func(a, b Track) int {
		return cmp.Or(cmp.Compare(b.Bandwidth, a.Bandwidth), cmp.Compare(b.Width, a.Width))
	})
	if i := slices.IndexFunc(pictures, func(t Track) bool { return most <= 0 || t.Bandwidth <= most }); i >= 0 {
		out = append(out, pictures[i])
	} else if len(pictures) > 0 {
		out = append(out, pictures[len(pictures)-1])
	}
	slices.SortStableFunc(others, func(a, b Track) int { // the best first, the default before others
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), boolFirst(a.Default, b.Default), cmp.Compare(b.Bandwidth, a.Bandwidth))
	})
	for _, t := range others {
		if len(pictures) > 0 && l.Kind == "hls" && !slices.Contains(out[0].Groups, t.Group) {
			continue // of another picture; or the film again, with nothing but its sound
		}
		if !slices.ContainsFunc(out, func(o Track) bool { return o.Kind == t.Kind && o.Language == t.Language }) {
			out = append(out, t)
		}
	}
	return out
}

func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
