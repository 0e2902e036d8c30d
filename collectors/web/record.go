package web

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// recorder turns exchanges into two WARC files: answers with what is known of
// their connections in one, requests in the other, which is restricted because
// cookies and form fields are in them. A record of either names its counterpart.
type recorder struct {
	answers, requests warcFile
	index             []warc.Capture
	guests            []warc.Capture // that a guest asked for: of the index if the page had none
	guestsDone        []*exchange    // all that guests asked for; the budget of requests bounds it
	connections       []*connection
	byKey             map[string]*connection
	exchanges         []*exchange // those with an answer, in the order they ended
	failures          []*exchange // those without, or without a whole one, or of which more is to be told
	count             collectors.Completeness
	lost              int            // exchanges that the egress did not carry
	refused           *fault         // the first that a used-up budget refused: it is in no record
	taken             map[string]int // bodies that are not kept, by the list that they are on
	worded            bool           // one of those can be in a page's text
	unchecked         int            // bodies that could not be compared as decoded
	asides            int
	wholes            int    // addresses of which parts came, not the whole
	wholesCame        int    // when they were asked for once more
	timed             int    // streams with a timeline
	dir               string // of the spools
	films             *films // of the proxy
	clock             serverClock
	err               error // our own disk's
	done              chan struct{}
}

// maxNoted bounds how many addresses the Manifest lists as missing. The record
// describes each failure: the budget of requests bounds those.
const maxNoted = 1000

type warcFile struct {
	path string
	file *os.File
	crc  hash.Hash32
	w    *warc.Writer
}

type connection struct {
	peer    *peer
	answers []string
	frames  []string // addresses of the records with frames of HTTP/2
}

func newWarc(dir, name, title string, started time.Time) (f warcFile, err error) {
	f.path = filepath.Join(dir, name)
	if f.file, err = os.Create(f.path); err != nil {
		return f, fmt.Errorf("record: %w", err)
	}
	f.crc = crc32.NewIEEE()
	f.w = warc.NewWriter(io.MultiWriter(f.file, f.crc))
	info := fmt.Sprintf("software: %s\r\nformat: WARC File Format 1.1\r\nconformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\ndescription: %s\r\n", software, title)
	_, err = f.w.WriteBytes(warc.Record{Type: warc.Warcinfo, Date: started, Filename: name, ContentType: "application/warc-fields"}, []byte(info))
	return f, err
}

func newRecorder(dir string, started time.Time) (*recorder, error) {
	r := &recorder{dir: dir, byKey: map[string]*connection{}, taken: map[string]int{}, done: make(chan struct{})}
	var err error
	if r.answers, err = newWarc(dir, "data.warc.gz", "answers of one capture, as the wire carried them; requests are kept apart", started); err != nil {
		return nil, err
	}
	r.requests, err = newWarc(dir, "requests.warc.gz", "requests of one capture, as the wire carried them; restricted", started)
	return r, err
}

// run takes exchanges until in is closed. After an error it goes on taking, so
// that nobody waits, and writes no more.
func (r *recorder) run(in <-chan *exchange) {
	defer close(r.done)
	for x := range in {
		r.tally(x)
		if x.fault != nil && x.fault.code == codeSpool && r.err == nil {
			r.err = x.fault
		}
		if r.err == nil && x.number > 0 {
			r.err = r.write(x)
		}
	}
}

func (r *recorder) tally(x *exchange) {
	if x.number > 0 {
		if !x.own {
			r.count.Requests++
		}
	} else if r.refused == nil && !x.own {
		r.refused = x.fault
	}
	r.clock.see(x)
	if x.unchecked != nil {
		r.unchecked++
	}
	for w := x.withheld; w != nil; w = w.Also {
		r.taken[w.List]++
	}
	r.worded = r.worded || x.worded()
	if x.own {
		return // what does not come of it the page did not ask for
	}
	if x.fault != nil && x.fault.code == codeEgress {
		r.lost++
	}
	if x.fault == nil {
		return
	}
	kind := collectors.MissFailed
	switch {
	case x.fault.blocked:
		kind = collectors.MissBlocked
		r.count.Blocked++
	case (x.fault.code == "unfinished" || x.fault.code == "abandoned") && x.endless():
		return // a stream without an end was ended, by us or the page: nothing is missing
	case x.answered():
		kind = collectors.MissTruncated
		r.count.Truncated++
	default:
		r.count.Failed++
	}
	if len(r.count.Missing) < maxNoted {
		r.count.Missing = append(r.count.Missing, collectors.Miss{Kind: kind, URL: clean(x.url), Why: clean(x.fault.Error())})
	} else {
		r.count.Cut = true
	}
}

func (r *recorder) write(x *exchange) error {
	request := warc.NewID()
	if x.askedBy != "" {
		r.guestsDone = append(r.guestsDone, x)
	}
	c := r.connection(x.peer)
	if x.answered() {
		r.exchanges = append(r.exchanges, x)
		span, err := r.record(&r.answers, x, warc.Response, x.id, request, x.response)
		if err != nil {
			return err
		}
		c.answers = append(c.answers, x.id)
		if x.status != 101 && !(x.own && (x.status != 200 || x.fault != nil)) {
			c := warc.Capture{URL: x.url, Method: x.method, Date: x.started, Mime: x.mime(), Status: x.status,
				Digest: x.response.payloadDigest(), Span: span}
			if x.askedBy == "" {
				r.index = append(r.index, c)
			} else {
				r.guests = append(r.guests, c)
			}
		}
	}
	for _, a := range x.asides {
		if err := r.aside(x, a); err != nil {
			return err
		}
	}
	if x.fault != nil || x.unchecked != nil || len(x.asides) > 0 {
		r.failures = append(r.failures, x)
	}
	if x.request.size == 0 {
		return nil // CONNECT to nowhere: nothing was sent
	}
	answer := ""
	if x.answered() {
		answer = x.id
	}
	if _, err := r.record(&r.requests, x, warc.Request, request, answer, x.request); err != nil {
		return err
	}
	return r.timelines(x, request)
}

func (r *recorder) record(to *warcFile, x *exchange, kind, id, with string, s *spool) (warc.Span, error) {
	f, err := s.open()
	if err != nil {
		return warc.Span{}, err
	}
	defer f.Close()
	rec := warc.Record{Type: kind, ID: id, Date: x.started, TargetURI: x.url,
		ContentType: "application/http;msgtype=" + kind, BlockDigest: s.blockDigest(),
		Protocols: []string{"http/1.1"}, Block: f, Length: s.size}
	if with != "" {
		rec.ConcurrentTo = []string{with}
	}
	rec.Truncated = x.cut
	if kind == warc.Request {
		rec.Truncated = x.askCut
	}
	if x.withheld.from(kind) {
		rec.Truncated = warc.TruncatedUnspecified
	}
	if s.body == s.size-s.head && !x.withheld.from(kind) {
		// Readers disagree on whether the payload of a chunked body has its chunk
		// framing. Where there is framing, only the block is digested.
		rec.PayloadDigest = s.payloadDigest()
	}
	rec.AskedBy = x.askedBy
	if x.label != "" {
		rec.Protocols, rec.Label = nil, x.label
	}
	if x.h2 {
		rec.Protocols = []string{protoH2}
	}
	if x.peer.address.IsValid() {
		rec.IP = x.peer.address.Addr().String()
	}
	if t := x.peer.tls; t != nil {
		rec.Protocols = append(rec.Protocols, tlsProtocol(t.Version))
		rec.Cipher = tls.CipherSuiteName(t.CipherSuite)
	}
	return to.w.Write(rec)
}

// aside keeps what the site sent outside of its answer, as it came.
func (r *recorder) aside(x *exchange, a *aside) error {
	if a.size == 0 {
		return nil // taken out: the exchange's note says so
	}
	f, err := a.open()
	if err != nil {
		return err
	}
	defer f.Close()
	r.asides++
	rec := warc.Record{Type: warc.Metadata, ID: warc.NewID(), Date: x.started, TargetURI: fmt.Sprintf("urn:holdfast:%s:%d", a.kind, r.asides),
		ContentType: "application/octet-stream", BlockDigest: a.blockDigest(), PayloadDigest: a.blockDigest(), Truncated: a.cut, Block: f, Length: a.size}
	if x.answered() {
		rec.ConcurrentTo = []string{x.id}
	}
	if a.ip.IsValid() {
		rec.IP = a.ip.String()
	}
	a.id = rec.ID
	_, err = r.answers.w.Write(rec)
	return err
}

// connection finds or makes the entry for the peer of x. Connections that agree
// in everything share one.
func (r *recorder) connection(p *peer) *connection {
	key := fmt.Sprint(p.host, p.address, p.resolved, p.unobserved, p.verdict, p.hello, p.chainDigests())
	if p.tls != nil {
		// A site may staple other OCSP answers and SCTs to the same chain.
		key += fmt.Sprintf("%d %d %q %x %x", p.tls.Version, p.tls.CipherSuite, p.tls.NegotiatedProtocol, p.tls.OCSPResponse, p.tls.SignedCertificateTimestamps)
	}
	c := r.byKey[key]
	if c == nil {
		c = &connection{peer: p}
		r.byKey[key] = c
		r.connections = append(r.connections, c)
	}
	return c
}

// finish adds what is known of connections and failures, and closes both files.
// Their addresses are urn:holdfast:…, never the page's own: an index would
// list them as captures of it.
func (r *recorder) finish(now time.Time, over []*shared, w *wholes) error {
	<-r.done
	if r.err != nil {
		return r.err
	}
	r.indexGuests()
	if err := r.notedWholes(w, now); err != nil {
		return err
	}
	if err := r.notedFilms(now); err != nil {
		return err
	}
	for i, s := range over {
		if err := r.frames(fmt.Sprintf("urn:holdfast:h2:%d", i+1), now, s); err != nil {
			return err
		}
	}
	for i, c := range r.connections {
		if err := r.note(fmt.Sprintf("urn:holdfast:connection:%d", i+1), now, c.describe()); err != nil {
			return err
		}
	}
	for i, x := range r.failures {
		if err := r.note(fmt.Sprintf("urn:holdfast:exchange:%d", i+1), now, x.describe()); err != nil {
			return err
		}
	}
	for _, f := range []*warcFile{&r.answers, &r.requests} {
		if err := f.file.Close(); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return nil
}

// frames keeps those of one HTTP/2 connection: what came beside the answers, what was sent,
// with its cookies, beside the requests.
func (r *recorder) frames(uri string, now time.Time, s *shared) error {
	if s.err != nil {
		return s.err
	}
	c := r.connection(s.peer)
	for _, d := range []struct {
		to   *warcFile
		name string
		*spool
	}{{&r.answers, ":received", s.received}, {&r.requests, ":sent", s.sent}} {
		f, err := d.open()
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = d.to.w.Write(warc.Record{Type: warc.Metadata, ID: warc.NewID(), Date: now, TargetURI: uri + d.name, ContentType: "application/jsonl",
			BlockDigest: d.blockDigest(), PayloadDigest: d.blockDigest(), Block: f, Length: d.size})
		if err != nil {
			return err
		}
		c.frames = append(c.frames, uri+d.name)
	}
	return nil
}

func (r *recorder) note(uri string, now time.Time, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("record %s: %w", uri, err)
	}
	_, err := r.answers.w.WriteBytes(warc.Record{Type: warc.Metadata, Date: now, TargetURI: uri, ContentType: "application/json"}, b.Bytes())
	return err
}

// abandon closes the files of a capture that is given up.
func (r *recorder) abandon() {
	r.answers.file.Close()
	r.requests.file.Close()
}

type tlsNote struct {
	Version  string   `json:"version"`
	Cipher   string   `json:"cipher"`
	ALPN     string   `json:"alpn,omitempty"`
	Hello    string   `json:"hello"` // whose ClientHello was sent: chromium, go-tls1.0
	Verified bool     `json:"verified"`
	Verdict  string   `json:"verdict"`
	Chain    []string `json:"chain"` // PEM, leaf first, as sent
	OCSP     []byte   `json:"ocsp,omitempty"`
	SCTs     [][]byte `json:"scts,omitempty"`
}

type connectionNote struct {
	Host     string   `json:"host"`
	Address  string   `json:"address,omitempty"`
	Resolved []string `json:"resolved,omitempty"`
	DNS      *dnsNote `json:"dns,omitempty"`
	// Unobserved: an egress resolved the name and connected.
	Unobserved bool     `json:"unobserved,omitempty"`
	TLS        *tlsNote `json:"tls,omitempty"`
	Frames     []string `json:"frames,omitempty"`  // target URIs of the records with those of HTTP/2
	Answers    []string `json:"answers,omitempty"` // record IDs
}

func (c *connection) describe() connectionNote {
	p := c.peer
	n := connectionNote{Host: clean(p.host), Resolved: p.resolved, DNS: describeTold(p.told), Unobserved: p.unobserved, Answers: c.answers, Frames: c.frames}
	if p.address.IsValid() {
		n.Address = p.address.String()
	}
	if p.tls == nil {
		return n
	}
	n.TLS = &tlsNote{Version: tls.VersionName(p.tls.Version), Cipher: tls.CipherSuiteName(p.tls.CipherSuite), ALPN: p.tls.NegotiatedProtocol, Hello: p.hello,
		Verified: p.verdict == "ok", Verdict: clean(p.verdict), OCSP: p.tls.OCSPResponse, SCTs: p.tls.SignedCertificateTimestamps}
	for _, cert := range p.tls.PeerCertificates {
		n.TLS.Chain = append(n.TLS.Chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	}
	return n
}

type exchangeNote struct {
	Method    string    `json:"method"`
	URL       string    `json:"url"`
	Started   string    `json:"started"`
	Host      string    `json:"host,omitempty"`
	AskedBy   string    `json:"asked_by,omitempty"` // which program; "" is the browser or the recorder
	Code      string    `json:"code,omitempty"`
	Error     string    `json:"error,omitempty"`
	Blocked   bool      `json:"blocked,omitempty"`
	Truncated string    `json:"truncated,omitempty"`
	Answer    string    `json:"answer,omitempty"` // record ID
	Asides    []string  `json:"asides,omitempty"` // record IDs
	Withheld  *withheld `json:"withheld,omitempty"`
	Unchecked string    `json:"unchecked,omitempty"` // why it could not be compared with lists
}

func (x *exchange) describe() exchangeNote {
	n := exchangeNote{Method: clean(x.method), URL: clean(x.url), Started: x.started.UTC().Format(warc.TimeFormat),
		Host: clean(x.peer.host), AskedBy: x.askedBy, Truncated: x.cut, Withheld: x.withheld}
	for _, a := range x.asides {
		if a.id != "" {
			n.Asides = append(n.Asides, a.id)
		}
	}
	if x.answered() {
		n.Answer = x.id
	}
	if x.unchecked != nil {
		n.Unchecked = clean(x.unchecked.Error())
	}
	if x.fault != nil {
		n.Code, n.Error, n.Blocked = x.fault.code, clean(x.fault.err.Error()), x.fault.blocked
	}
	return n
}

func tlsProtocol(v uint16) string {
	return strings.ToLower(strings.Replace(tls.VersionName(v), " ", "/", 1))
}
