package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/confined"
	"holdfast/warc"
)

const (
	codeFilm     = "film-failed"
	maxFilmFacts = 1 << 20 // of what it says of a film
	tooMany      = 101     // its exit status at --max-downloads
)

// wrote is what the program left in its folder.
type wrote struct {
	films []fetchedFilm
	left  int // files that are not whole, or none of ours
}

// fetchedFilm is one film, or the facts of one that did not come.
type fetchedFilm struct {
	number int
	film   string // name; "" did not come
	facts  string
}

// files looks at what it wrote. It is over, so nothing changes under us; a link is no
// film.
func (f *fetched) files() (w wrote) {
	list, _ := os.ReadDir(f.dir) // none where it was not run
	by := map[int]*fetchedFilm{}
	known := regexp.MustCompile(`^film-0*([1-9][0-9]{0,5})\.(info\.json|[a-z0-9]{1,5})$`)
	for _, d := range list {
		m := known.FindStringSubmatch(d.Name())
		if m == nil || !d.Type().IsRegular() || m[2] == "part" || m[2] == "ytdl" {
			w.left++
			continue
		}
		n, _ := strconv.Atoi(m[1]) // of digits
		if by[n] == nil {
			by[n] = &fetchedFilm{number: n}
		}
		switch {
		case m[2] == "info.json":
			by[n].facts = d.Name()
		case by[n].film == "":
			by[n].film = d.Name()
		default:
			w.left++
		}
	}
	for _, one := range by {
		w.films = append(w.films, *one)
	}
	slices.SortFunc(w.films, func(a, b fetchedFilm) int { return cmp.Compare(a.number, b.number) })
	return w
}

// sound says that what it left under a film's name is one: it gives that name to what it
// has whole. One that was ended for writing too much does not keep to that.
func (f *fetched) sound() bool {
	return f.ended.Why == nil || errors.Is(f.ended.Why, confined.ErrTime)
}

// fetchedFiles gives the films that the program brought, and tells what came of it.
func (x *capture) fetchedFiles(a *collectors.Acquired) (out []file, err error) {
	f := x.fetched
	if f == nil {
		return nil, nil
	}
	a.Collection.Program = &f.Program
	note := func(format string, v ...any) {
		a.Collection.Notes = append(a.Collection.Notes, clean(fmt.Sprintf(format, v...)))
	}
	w := f.files()
	if !f.sound() {
		w.left, w.films = w.left+len(w.films), nil
	}
	came, lost := 0, 0
	for _, one := range w.films {
		if one.film == "" {
			lost++
		} else if came++; came <= 2*maxFetched {
			got, why, err := x.fetchedFilm(one)
			if err != nil {
				return nil, err
			}
			out = append(out, got...)
			if why == errListed.Error() && len(x.rec.taken) == 0 {
				a.Reasons = append(a.Reasons, collectors.Reason{Code: "never-keep-unchecked", Detail: "a film that yt-dlp brought " + why + ", and is not kept; none of the answers that it was made of is, as far as they could be compared"})
			} else if why != "" {
				note("A film that yt-dlp brought is not kept: %s.", why)
			}
		}
	}
	asked, failed, first := x.rec.askedBy(ytdlp)
	if f.why == "" {
		cookies := hadCookies(x.req.Session)
		note("yt-dlp %s was run for the page's address when the page was gone, as a program of its own whose way out was the recording proxy. It asked %d times: these records have Holdfast-Asked-By, are no exchanges of the page, and are not counted as such. %s", f.Version, asked, cookies)
	}
	if f.thin {
		note("The file that was named as yt-dlp is a script that starts what lies elsewhere: its digest is of the script alone.")
	}
	because := f.because(came, lost, w.left)
	if failed > 0 {
		told := fmt.Sprintf("%d of its requests failed or were refused, the first to %s", failed, first)
		if because != "" {
			because += "; " + told
		} else {
			note("yt-dlp: %s.", told)
		}
	}
	switch {
	case because != "":
		a.Reasons = append(a.Reasons, collectors.Reason{Code: codeFilm, Detail: clean("yt-dlp: " + because)})
	case came == 0:
		note("yt-dlp found no film at the page's address.")
	}
	return out, nil
}

// because says what a reader must know of a run that did not bring all; "" is nothing.
func (f *fetched) because(came, lost, left int) string {
	said := ""
	for l := range strings.Lines(f.ended.Said) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), "ERROR: "); ok {
			said = rest
		}
	}
	said = cmp.Or(said, strings.ToValidUTF8(f.ended.Said[max(0, len(f.ended.Said)-300):], ""))
	switch {
	case f.why != "":
		return "it was not run: " + f.why
	case f.ended.Why != nil:
		return fmt.Sprintf("%v; %d films came whole before, %d files are not kept", f.ended.Why, came, left)
	case f.ended.Exit == tooMany:
		return fmt.Sprintf("it was told to bring %d films and sounds at most, and there were more", maxFetched)
	case f.ended.Exit != 0 && came == 0 && lost == 0 && strings.HasPrefix(said, "Unsupported URL: "):
		return "" // it knows no film there
	case f.ended.Exit != 0:
		return fmt.Sprintf("it ended with exit status %d, %d films came: %.500s", f.ended.Exit, came, said)
	case lost > 0:
		return fmt.Sprintf("%d films were found and did not come: larger than the %d bytes that were left, or nothing of them", lost, f.most)
	}
	return ""
}

// fetchedFilm makes the Objects of one film, or says why there are none.
func (x *capture) fetchedFilm(one fetchedFilm) (out []file, why string, err error) {
	path := filepath.Join(x.fetched.dir, one.film)
	size, sum, listed, err := digestFilm(path, x.req.NeverKeep)
	if err != nil {
		return nil, "", err
	}
	switch {
	case size == 0:
		return nil, "it is empty", nil
	case listed || len(x.rec.taken) > 0:
		if err := wipe(path); err != nil {
			return nil, "", err
		}
		if listed {
			return nil, errListed.Error(), nil
		}
		return nil, "something of the capture was not kept", nil
	}
	ending, kind, err := filmType(path)
	if err != nil {
		return nil, "", err
	}
	tool := ytdlp + " " + x.fetched.Version
	detail := "put together by it of answers that it asked for"
	if id := x.rec.sameAs(sum, size); id != "" {
		detail = "byte for byte the content of the answer " + id
	}
	from := func(detail string) *collectors.Transformation {
		return &collectors.Transformation{Action: "fetch-film", Inputs: []string{"page.wacz"}, Tool: tool, Detail: detail}
	}
	name := fmt.Sprintf("film-%d", one.number)
	out = append(out, file{name: name + "." + ending, role: "film", mediaType: kind, path: path, derived: from(detail)})
	if st, err := os.Stat(filepath.Join(x.fetched.dir, one.facts)); one.facts != "" && err == nil && st.Size() <= maxFilmFacts {
		out = append(out, file{name: name + ".json", role: "film-facts", mediaType: "application/json", path: filepath.Join(x.fetched.dir, one.facts),
			derived: from("what it read of the film in the answers, in its own words")})
	}
	return out, "", nil
}

// digestFilm reads a film once; listed says that it is, as a whole, on a list.
func digestFilm(path string, lists []*collectors.KnownList) (size int64, sum string, listed bool, err error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, "", false, fmt.Errorf("read a film: %w", err)
	}
	defer in.Close()
	h, known := sha256.New(), collectors.WatchAll(lists)
	if size, err = io.Copy(io.MultiWriter(h, known), in); err != nil {
		return 0, "", false, fmt.Errorf("read a film: %w", err)
	}
	digest, _ := known.Match()
	return size, "sha256:" + hex.EncodeToString(h.Sum(nil)), digest != "", nil
}

func wipe(path string) error {
	out, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("remove a film: %w", err)
	}
	size, err := out.Seek(0, io.SeekEnd)
	if err = errors.Join(err, overwrite(out, 0, size), out.Close(), os.Remove(path)); err != nil {
		return fmt.Errorf("remove a film: %w", err)
	}
	return nil
}

// filmType says what a film is, by its first bytes, and by the name that the program gave
// it where they say nothing.
func filmType(path string) (ending, kind string, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("read a film: %w", err)
	}
	defer in.Close()
	head := make([]byte, 189)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", "", fmt.Errorf("read a film: %w", err)
	}
	head = head[:n]
	types := map[string]string{"mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mkv": "video/x-matroska", "ts": "video/mp2t", "flv": "video/x-flv",
		"3gp": "video/3gpp", "m4a": "audio/mp4", "mp3": "audio/mpeg", "aac": "audio/aac", "ogg": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav", "weba": "audio/webm"}
	ending = strings.TrimPrefix(filepath.Ext(path), ".")
	switch {
	case len(head) == 189 && head[0] == 0x47 && head[188] == 0x47:
		ending = "ts"
	case len(head) > 8 && string(head[4:8]) == "ftyp" && types[ending] != "audio/mp4" && ending != "mov" && ending != "3gp":
		ending = "mp4"
	case bytes.HasPrefix(head, []byte("\x1aE\xdf\xa3")) && ending != "webm" && ending != "weba":
		ending = "mkv"
	}
	if types[ending] == "" {
		return "bin", "application/octet-stream", nil
	}
	return ending, types[ending], nil
}

// askedBy counts what a guest asked for, and what of it did not come whole; first is
// where, and why.
func (r *recorder) askedBy(name string) (n, failed int, first string) {
	for _, x := range r.guestsDone {
		if x.askedBy != name {
			continue
		}
		if n++; x.fault != nil {
			if failed++; failed == 1 {
				first = x.url + " (" + x.fault.Error() + ")"
			}
		}
	}
	return n, failed, first
}

// sameAs is the record of the guest's answer whose content this is; "" is none.
func (r *recorder) sameAs(sum string, size int64) string {
	for _, x := range r.guestsDone {
		if x.answered() && x.response.body == size && x.fault == nil && x.withheld == nil && x.response.hasBody && "sha256:"+hex.EncodeToString(x.response.payload.Sum(nil)) == sum {
			return x.id
		}
	}
	return ""
}

// programNote says in the record what was run.
type programNote struct {
	Name      string   `json:"name"`
	Version   string   `json:"version,omitempty"`
	Digest    string   `json:"digest,omitempty"` // of the file that was named
	Arguments []string `json:"arguments,omitempty"`
	Began     string   `json:"began,omitempty"`
	Over      string   `json:"over,omitempty"`
	Exit      int      `json:"exit"` // -1: it did not end by itself, or was not run
	Why       string   `json:"why,omitempty"`
	Said      string   `json:"said,omitempty"` // the end of what it complained
	Left      int      `json:"left,omitempty"` // processes that outlived it, and were ended
	Asked     int      `json:"asked"`
	Answers   []string `json:"answers"` // record IDs
	Cut       bool     `json:"cut,omitempty"`
}

func (f *fetched) note() programNote {
	n := programNote{Name: f.Name, Version: f.Version, Arguments: f.Arguments, Exit: -1, Why: clean(f.why), Answers: []string{}}
	if !f.Digest.IsZero() {
		n.Digest = f.Digest.String()
	}
	if f.why != "" {
		return n
	}
	n.Began, n.Over = f.ended.Began.UTC().Format(warc.TimeFormat), f.ended.Over.UTC().Format(warc.TimeFormat)
	n.Exit, n.Said, n.Left = f.ended.Exit, clean(f.ended.Said), f.ended.Left
	if f.ended.Why != nil {
		n.Why = clean(f.ended.Why.Error())
	}
	return n
}

// notedProgram writes it, when nothing is running any more.
func (r *recorder) notedProgram(f *fetched, now time.Time) error {
	if f == nil || r.err != nil {
		return r.err
	}
	n := f.note()
	n.Asked, _, _ = r.askedBy(f.Name)
	for _, x := range r.guestsDone {
		if n.Cut = len(n.Answers) >= maxNoteIDs; n.Cut {
			break
		}
		if x.answered() {
			n.Answers = append(n.Answers, x.id)
		}
	}
	return r.note("urn:holdfast:program:1", now, n)
}

// hadCookies says what of a session the program was given: local storage is the browser's.
func hadCookies(s *collectors.Session) string {
	if s == nil || len(s.Cookies) == 0 {
		return "It had no cookies."
	}
	return "It had the session's cookies."
}
