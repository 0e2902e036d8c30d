package s3

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"holdfast/storage"
)

// Options say which store is opened, and how. Endpoint, Bucket, the keys and
// Spool must be given; for the rest the zero value is good.
type Options struct {
	Endpoint string // "https://host[:port]", or "http://…" where no line between is anybody else's; empty: Amazon's
	Region   string // empty: asked of the server
	Bucket   string
	Prefix   string // what each key begins with, a name as in storage.CheckName; empty: the whole bucket is the store

	AccessKey, SecretKey, SessionToken string

	// ID is the id of the store that is meant, as Store.ID gave it when it was
	// made; another one is refused. Empty: whichever lies there.
	ID string
	// Create makes a store where Bucket and Prefix hold nothing. Without it an
	// empty place is refused, so that no mistyped name begins an empty store.
	Create bool

	// Unlocked takes a bucket without object lock or versioning: then whoever
	// has its keys can remove what lies there.
	Unlocked bool
	// Retention is how long nobody can remove what was just written or extended:
	// 0 means 30 days. Interval is how often an Extender passes: 0 means 7 days.
	// Retention is at least three times Interval.
	Retention, Interval time.Duration

	// Spool is a folder on a local disk for what is being written. Files in it
	// have no name, so a process that dies leaves none.
	Spool string
	// MaxSpool bounds the bytes in Spool of this handle: 0 means 16 GiB.
	MaxSpool int64
	// PartSize is the size from which an upload is made of parts, and of each
	// part: 0 means 32 MiB, at least 5 MiB. 10,000 parts are the most.
	PartSize int64

	// Wait bounds a request without an answer, and a body that stands still: 0
	// means a minute. Tries is how often one is sent: 0 means 6, in about 15 s.
	Wait  time.Duration
	Tries int

	ReadOnly bool // every write is storage.ErrStopped

	// Transport sends the requests; nil: one of its own, with the system's roots.
	Transport http.RoundTripper
	Log       *slog.Logger // Optional
}

const (
	day         = 24 * time.Hour
	minPartSize = 5 << 20
	maxParts    = 10_000
)

func (o Options) withDefaults() (Options, error) {
	set(&o.Retention, 30*day)
	set(&o.Interval, 7*day)
	set(&o.MaxSpool, 16<<30)
	set(&o.PartSize, 32<<20)
	set(&o.Wait, time.Minute)
	set(&o.Tries, 6)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.AccessKey == "" || o.SecretKey == "":
		return o, fmt.Errorf("no access key (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")
	case o.Spool == "":
		return o, fmt.Errorf("no folder for the spool")
	case o.Interval < 0 || o.Retention < 3*o.Interval:
		return o, fmt.Errorf("a retention of %v is less than three times the interval of %v: one missed pass could end it", o.Retention, o.Interval)
	case o.PartSize < minPartSize:
		return o, fmt.Errorf("parts of %d bytes are too small: S3 takes %d and more", o.PartSize, minPartSize)
	}
	if o.Prefix != "" {
		if err := storage.CheckName(o.Prefix); err != nil {
			return o, fmt.Errorf("prefix: %w", err)
		}
	}
	return o, nil
}

func set[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Parse reads `s3://bucket[/prefix]?endpoint=https://host[:port]` and, optional,
// `region=NAME`, `lock=none` (Unlocked), `retention=720h` and `interval=168h`.
// Keys are not in it, because a URL is printed and kept; an error repeats none of it.
func Parse(text string) (Options, error) {
	o, err := parse(text)
	if err != nil {
		return Options{}, fmt.Errorf("read store URL: %w", err)
	}
	return o, nil
}

func parse(text string) (o Options, err error) {
	const form = "s3://bucket/prefix?endpoint=https://host"
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return o, fmt.Errorf("it is none; its form is %s", form)
	case u.User != nil:
		return o, fmt.Errorf("no keys in a URL, which is printed and kept (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")
	case u.Scheme != "s3" || u.Host == "" || u.Opaque != "" || u.Fragment != "":
		return o, fmt.Errorf("it is not of the form %s", form)
	}
	o = Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return o, fmt.Errorf("it is not of the form %s", form)
	}
	for name, values := range q {
		if len(values) != 1 || !o.set(name, values[0]) {
			return o, fmt.Errorf("%.40q is given twice, not known or has no good value (endpoint=https://host, region=NAME, lock=none, retention=720h, interval=168h)", name)
		}
	}
	return o, nil
}

func (o *Options) set(name, v string) bool {
	var err error
	switch name {
	case "endpoint":
		o.Endpoint = v
		_, _, err = splitEndpoint(v)
	case "region":
		o.Region = v
	case "lock":
		o.Unlocked = true
		return v == "none"
	case "retention":
		o.Retention, err = time.ParseDuration(v)
	case "interval":
		o.Interval, err = time.ParseDuration(v)
	default:
		return false
	}
	return err == nil && v != ""
}

// splitEndpoint returns the host and whether it is asked over TLS.
func splitEndpoint(endpoint string) (host string, secure bool, err error) {
	if endpoint == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", false, fmt.Errorf("the endpoint is not https://host[:port]")
	}
	return u.Host, u.Scheme == "https", nil
}
