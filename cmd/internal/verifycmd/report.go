package verifycmd

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
)

//go:embed report.html
var reportHTML string

//go:embed report.css
var reportCSS string

// reportView is what the template of the report reads. All text from outside is
// made visible and isolated here, and escaped by the template.
type reportView struct {
	*check
	Digest   string // of the Bundle
	Software string
	Self     string // digest of the program, by its own account; "" if it cannot be read
	Groups   []*group
}

// writeReport writes the page for people, if one was asked for. f is the Bundle
// that was verified.
func (c *check) writeReport(f *os.File, out io.Writer) error {
	if c.Report == "" && !c.beside {
		return nil
	}
	page, err := c.page(f)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if !c.beside {
		return writeFile(c.Report, page, c.Replace)
	}
	path, key, err := saveBeside(c.File, page)
	if err == nil {
		fmt.Fprintf(out, "\n%s\n", c.Say(key, "path", path))
	}
	return err
}

// page renders the report, which is bounded: see the constants of this package.
func (c *check) page(f io.ReaderAt) ([]byte, error) {
	digest, _, err := hashing.Copy(io.Discard, io.NewSectionReader(f, 0, c.size))
	if err != nil {
		return nil, err
	}
	t, err := template.New("report").Parse(reportHTML)
	if err != nil {
		return nil, err
	}
	v := &reportView{check: c, Digest: digest.Hex(), Software: c.Program + " " + c.Version, Self: self(), Groups: c.groups(maxRows, false)}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// self is the SHA-256 of the program that runs. A false program would say
// anything; the line helps who compares with the list of the release.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	d, _, err := hashing.Copy(io.Discard, f)
	if err != nil {
		return ""
	}
	return d.Hex()
}

// CSP forbids everything but this page's own style.
func (v *reportView) CSP() string {
	h := sha256.Sum256([]byte(reportCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'; base-uri 'none'; form-action 'none'"
}

func (v *reportView) Style() template.CSS       { return template.CSS(reportCSS) }
func (v *reportView) Name() isolated            { return v.isolate(filepath.Base(v.File)) }
func (v *reportView) Verdict() holdfast.Verdict { return v.report.Verdict }
func (v *reportView) Size() int64               { return v.size }
func (v *reportView) Training() bool            { return v.report.Training }
func (v *reportView) Advice() string            { return v.advice() }
func (v *reportView) Given() [][2]string        { return v.given() }
func (v *reportView) Passed() int               { return v.passed() }
func (v *reportView) Checked() string           { return v.at.UTC().Format("2006-01-02 15:04:05 UTC") }

// Word names a verdict; HTML gives a sentence of the catalogue, already escaped.
func (v *reportView) Word(x holdfast.Verdict) string { return v.word(x) }
func (v *reportView) HTML(key string, pairs ...any) template.HTML {
	return template.HTML(v.Mark(key, pairs...))
}

func (v *reportView) Basis() (lines []template.HTML) {
	for _, l := range v.basis(v.Mark) {
		lines = append(lines, template.HTML(l))
	}
	return lines
}

// Isolate is for what comes from the Bundle.
func (v *reportView) Isolate(s any) isolated { return v.isolate(fmt.Sprint(s)) }

func (v *reportView) Limits() []string {
	return []string{"page.limit.observer", "page.limit.hash", "page.limit.time", "page.limit.complete", "page.limit.log", "page.limit.revocation", "page.limit.unsigned"}
}

// exhibitView is one exhibit of the report.
type exhibitView struct {
	*reportView
	E              holdfast.ExhibitReport
	Proven, Stated template.HTML
}

// Exhibits are those with a card; the others are counted by ExhibitsMore.
func (v *reportView) Exhibits() (out []exhibitView) {
	for _, e := range v.exhibits(maxCards) {
		out = append(out, exhibitView{v, e, template.HTML(v.proven(v.Mark, e)), template.HTML(v.stated(v.Mark, e))})
	}
	return out
}
func (v *reportView) ExhibitsMore() int { return max(0, len(v.report.Exhibits)-maxCards) }

// Code sets a Digest or an identifier; it is never turned round.
func (v *reportView) Code(s any) template.HTML {
	return template.HTML(`<code dir="ltr">` + template.HTMLEscapeString(messages.Visible(clip(fmt.Sprint(s)))) + "</code>")
}
