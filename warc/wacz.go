package warc

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Names inside a WACZ that this package writes.
const (
	ArchiveName = "archive/data.warc.gz"
	indexName   = "indexes/index.cdx"
	pagesName   = "pages/pages.jsonl"
)

// Archive describes a WACZ to be written. The WARC and its index come first.
type Archive struct {
	Warc     io.Reader // exactly WarcSize bytes
	WarcSize int64
	WarcCRC  uint32 // IEEE, of the whole WARC: stands before it in the ZIP
	Index    []byte // see Index
	Pages    []Page
	Title    string
	Created  time.Time // also the date of every ZIP entry, so that equal input gives equal bytes
	Software string
	Extra    []Extra
}

// Page is a line of pages.jsonl.
type Page struct {
	URL   string
	Date  time.Time
	Title string
}

// Extra is a further file. Name has exactly one folder and lowercase letters:
// the common validator looks no deeper and reports others as not listed.
type Extra struct {
	Name string
	Data []byte
}

var extraName = regexp.MustCompile(`^[a-z0-9_-]+/[a-z0-9][a-z0-9._-]*$`)

// WriteWACZ writes a WACZ 1.1.1 file, all entries stored, sizes in the local
// headers. It returns the offset of the WARC in the file: a record at span s of
// the WARC lies at that offset plus s.Offset.
func WriteWACZ(w io.Writer, a Archive) (warcOffset int64, err error) {
	z := &waczWriter{out: &counter{w: w}, created: a.Created.UTC().Truncate(time.Second)}
	z.zip = zip.NewWriter(z.out)
	if warcOffset, err = z.add(ArchiveName, a.Warc, a.WarcSize, a.WarcCRC); err != nil {
		return 0, err
	}
	files := append([]Extra{{indexName, a.Index}, {pagesName, pagesFile(a.Pages)}}, a.Extra...)
	for i, f := range files {
		if i >= 2 && (!extraName.MatchString(f.Name) || reserved(path.Dir(f.Name))) {
			return 0, fmt.Errorf("write wacz: extra file %.80q: not of the form folder/name: %w", f.Name, ErrFormat)
		}
		if err := z.addBytes(f.Name, f.Data); err != nil {
			return 0, err
		}
	}
	pkg := marshal(z.datapackage(a))
	if err := z.addBytes("datapackage.json", pkg); err != nil {
		return 0, err
	}
	digest := marshal(map[string]string{"path": "datapackage.json", "hash": Digest(pkg)})
	if err := z.addBytes("datapackage-digest.json", digest); err != nil {
		return 0, err
	}
	if err := z.zip.Close(); err != nil {
		return 0, fmt.Errorf("write wacz: %w", err)
	}
	return warcOffset, nil
}

func reserved(folder string) bool {
	return slices.Contains([]string{"archive", "indexes", "pages"}, folder)
}

type waczWriter struct {
	out       *counter
	zip       *zip.Writer
	created   time.Time
	resources []resource
}

type resource struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Hash  string `json:"hash"`
	Bytes int64  `json:"bytes"`
}

// add stores one entry and returns where its data begins.
func (z *waczWriter) add(name string, r io.Reader, size int64, crc uint32) (int64, error) {
	h := &zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc,
		CompressedSize64: uint64(size), UncompressedSize64: uint64(size)}
	h.ModifiedDate, h.ModifiedTime = dosTime(z.created)
	w, err := z.zip.CreateRaw(h)
	if err == nil {
		err = z.zip.Flush()
	}
	if err != nil {
		return 0, fmt.Errorf("write wacz: %w", err)
	}
	offset := z.out.n
	sum, check := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(w, sum, check), r)
	if err != nil {
		return 0, fmt.Errorf("write wacz: %s: %w", name, err)
	}
	if n != size || check.Sum32() != crc {
		return 0, fmt.Errorf("write wacz: %s: %d bytes, crc %08x; announced %d, %08x: %w", name, n, check.Sum32(), size, crc, ErrFormat)
	}
	z.resources = append(z.resources, resource{path.Base(name), name, "sha256:" + hex.EncodeToString(sum.Sum(nil)), n})
	return offset, nil
}

func (z *waczWriter) addBytes(name string, b []byte) error {
	_, err := z.add(name, bytes.NewReader(b), int64(len(b)), crc32.ChecksumIEEE(b))
	return err
}

func (z *waczWriter) datapackage(a Archive) any {
	d := struct {
		Profile   string     `json:"profile"`
		Version   string     `json:"wacz_version"`
		Title     string     `json:"title"`
		Created   string     `json:"created"`
		Software  string     `json:"software"`
		MainURL   string     `json:"mainPageUrl,omitempty"`
		MainDate  string     `json:"mainPageDate,omitempty"`
		Resources []resource `json:"resources"`
	}{"data-package", "1.1.1", a.Title, z.created.Format(time.RFC3339), a.Software, "", "", z.resources}
	if len(a.Pages) > 0 {
		d.MainURL, d.MainDate = a.Pages[0].URL, a.Pages[0].Date.UTC().Format(TimeFormat)
	}
	return d
}

// pagesFile gives every line the same members and a title: the common validator
// reads a table by the first line's columns and refuses a row that is blank.
func pagesFile(pages []Page) []byte {
	b := bytes.NewBufferString(`{"format":"json-pages-1.0","id":"pages","title":"All Pages"}` + "\n")
	for _, p := range pages {
		if p.Title == "" {
			p.Title = p.URL
		}
		b.Write(marshal(struct {
			URL   string `json:"url"`
			Date  string `json:"ts"`
			Title string `json:"title"`
		}{p.URL, p.Date.UTC().Format(TimeFormat), p.Title}))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// marshal never fails: it is given strings and integers only.
func marshal(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

func dosTime(t time.Time) (date, tm uint16) {
	if t.Year() < 1980 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return uint16(t.Day() | int(t.Month())<<5 | (t.Year()-1980)<<9), uint16(t.Second()/2 | t.Minute()<<5 | t.Hour()<<11)
}
