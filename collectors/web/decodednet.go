package web

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

// maxOrigins bounds of how many origins the browser is asked for the certificates.
const maxOrigins = 50

// secured is what the browser says of its connections to an origin, the last of them.
type secured struct {
	Origin    string   `json:"origin"`
	Protocol  string   `json:"protocol"` // h2, http/1.1
	Version   string   `json:"version,omitempty"`
	Cipher    string   `json:"cipher,omitempty"`
	Group     string   `json:"group,omitempty"` // of the key exchange
	Subject   string   `json:"subject,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	NotBefore string   `json:"not_before,omitempty"`
	NotAfter  string   `json:"not_after,omitempty"`
	Chain     []string `json:"chain,omitempty"` // PEM, leaf first, as the browser built it
}

// network hears what the page's own session says, on the link's goroutine: of TLS, and of
// WebSockets, which are paused nowhere.
func (d *decoder) network(method string, params json.RawMessage) {
	switch method {
	case "Network.responseReceived":
		var e proto.NetworkResponseReceived
		if json.Unmarshal(params, &e) == nil && e.Response != nil {
			d.secured(e.Response)
		}
	case "Network.webSocketHandshakeResponseReceived", "Network.webSocketCreated",
		"Network.webSocketFrameSent", "Network.webSocketFrameReceived", "Network.webSocketClosed":
		d.socket(method, params)
	}
}

// later opens an exchange that is no fetch, under the key given.
func (d *decoder) later(key string, begin func() (*exchange, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.open[key] != nil {
		return
	}
	if x, err := begin(); err == nil {
		d.open[key] = x
	}
}

func (d *decoder) secured(r *proto.NetworkResponse) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || r.FromDiskCache {
		return
	}
	s := &secured{Origin: "https://" + clean(u.Host), Protocol: clean(r.Protocol)}
	if t := r.SecurityDetails; t != nil {
		s.Version, s.Cipher, s.Group = clean(t.Protocol), clean(strings.TrimLeft(t.KeyExchange+" "+t.Cipher, " ")), clean(t.KeyExchangeGroup)
		s.Subject, s.Issuer = clean(t.SubjectName), clean(t.Issuer)
		s.NotBefore, s.NotAfter = t.ValidFrom.Time().UTC().Format(time.RFC3339), t.ValidTo.Time().UTC().Format(time.RFC3339)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.facts) < maxOrigins || d.facts[s.Origin] != nil {
		d.facts[s.Origin] = s
	}
}

// certificates asks the browser for the chains of the origins, while the page is there.
func (d *decoder) certificates(ctx context.Context, s session) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, f := range d.origins() {
		got, err := proto.NetworkGetCertificate{Origin: f.Origin}.Call(s.with(ctx))
		if err != nil {
			continue // it has none of an origin that only redirected
		}
		var chain []string
		for _, text := range got.TableNames {
			if der, err := base64.StdEncoding.DecodeString(text); err == nil {
				chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
			}
		}
		d.mu.Lock()
		f.Chain = chain
		d.mu.Unlock()
	}
}

func (d *decoder) origins() (out []*secured) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.facts {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *secured) int { return strings.Compare(a.Origin, b.Origin) })
	return out
}

// decodedNote says what this record is, and what it is not.
type decodedNote struct {
	Label   string     `json:"label"` // of the records that it is about: their field Holdfast-Label
	Means   string     `json:"means"`
	Origins []*secured `json:"origins"`
}

func (d *decoder) note(r *recorder, now time.Time) error {
	return r.note("urn:holdfast:decoded:1", now, decodedNote{Label: labelDecoded, Origins: d.origins(),
		Means: "The browser spoke with these sites itself, under TLS of its own, and told of its exchanges: content without codings, fields of a request as far as the browser tells them. What the wire carried was not seen."})
}

// socket records a WebSocket as the browser tells of it: heads as sent, and a frame for
// each message, made anew, without mask and compression.
func (d *decoder) socket(method string, params json.RawMessage) {
	var e struct {
		RequestID string
		URL       string
		Request   *struct{ Headers proto.NetworkHeaders }
		Response  *struct {
			Status                          int
			StatusText                      string
			Headers                         proto.NetworkHeaders
			HeadersText, RequestHeadersText string
			Opcode                          float64
			PayloadData                     string
		}
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	key := "socket " + e.RequestID
	if method == "Network.webSocketCreated" {
		if address, ok := strings.CutPrefix(e.URL, "wss://"); ok { // ws: passes the proxy
			d.later(key, func() (*exchange, error) {
				x, err := d.p.begin(nil, http.MethodGet, "https://"+withoutFragment(address))
				if err == nil {
					x.label, x.peer = labelDecoded, &peer{host: siteOf(x.url)}
				}
				return x, err
			})
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.open[key]
	if x == nil {
		return
	}
	switch {
	case method == "Network.webSocketHandshakeResponseReceived" && e.Response != nil && x.status == 0:
		d.shook(x, e.Response.Status, e.Response.StatusText, e.Response.Headers, e.Response.HeadersText, e.Response.RequestHeadersText)
	case x.response == nil || !x.upgraded:
	case method == "Network.webSocketFrameReceived" && e.Response != nil:
		x.response.content(frameOf(e.Response.Opcode, e.Response.PayloadData))
	case method == "Network.webSocketFrameSent" && e.Response != nil:
		x.request.content(frameOf(e.Response.Opcode, e.Response.PayloadData))
	case method == "Network.webSocketClosed":
		delete(d.open, key)
		x.peer, _ = d.p.blind.of(siteOf(x.url))
		d.wg.Go(func() { d.p.finish(x, false) })
	}
}

// shook begins to record the messages of a WebSocket.
func (d *decoder) shook(x *exchange, status int, text string, fields proto.NetworkHeaders, head, asked string) {
	var err error
	if x.response, err = newSpool(d.p.dir, collectors.WatchAll(d.p.lists)); err != nil {
		x.fail(codeSpool, err)
		return
	}
	paused := proto.FetchRequestPaused{ResponseStatusCode: &status, ResponseStatusText: text}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		paused.ResponseHeaders = append(paused.ResponseHeaders, &proto.FetchHeaderEntry{Name: name, Value: fields[name].Str()})
	}
	raw, list := answerHead(paused)
	raw = append(raw, "\r\n"...)
	if strings.HasSuffix(head, "\r\n\r\n") {
		raw = []byte(head)
	}
	if asked == "" {
		asked = "GET " + strings.TrimPrefix(x.url, "https://"+strings.SplitN(strings.TrimPrefix(x.url, "https://"), "/", 2)[0]) + " HTTP/1.1\r\n\r\n"
	}
	x.status, x.fields, x.headed, x.upgraded = status, list, time.Now(), status == http.StatusSwitchingProtocols
	x.response.begin(raw)
	x.request.begin([]byte(asked))
	x.response.hasBody, x.request.hasBody = true, true
	d.p.timed(x.response)
	d.p.timed(x.request)
	d.p.meter.end() // it tells nothing of whether the page loads
}

// frameOf is a message as one frame (RFC 6455, 5.2).
func frameOf(opcode float64, data string) []byte {
	b := []byte(data)
	if opcode != 1 {
		if raw, err := base64.StdEncoding.DecodeString(data); err == nil {
			b = raw
		}
	}
	out := []byte{0x80 | byte(opcode)&0x0f}
	switch n := len(b); {
	case n < 126:
		out = append(out, byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, b...)
}

// spoke is what the browser says of its connection to the origin of an address.
func (d *decoder) spoke(address string) ([]string, *collectors.TLS) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.facts["https://"+u.Host]
	if f == nil || f.Version == "" {
		return nil, nil
	}
	t := &collectors.TLS{Version: f.Version, Cipher: f.Cipher, Subject: f.Subject, Issuer: f.Issuer, Verdict: "no certificate"}
	var chain []*x509.Certificate
	for _, text := range f.Chain {
		if b, _ := pem.Decode([]byte(text)); b != nil {
			if c, err := x509.ParseCertificate(b.Bytes); err == nil {
				chain = append(chain, c)
				t.Chain = append(t.Chain, sha256.Sum256(c.Raw))
			}
		}
	}
	if len(chain) > 0 {
		t.Subject, t.Issuer, t.NotBefore, t.NotAfter = clean(chain[0].Subject.String()), clean(chain[0].Issuer.String()), chain[0].NotBefore, chain[0].NotAfter
		t.Verdict = clean(d.p.dial.judge(chain, u.Hostname()))
	}
	t.Verified = t.Verdict == "ok"
	return []string{f.Protocol, strings.ToLower(strings.Replace(f.Version, " ", "/", 1))}, t
}
