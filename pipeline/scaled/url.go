package scaled

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// ErrURL: not a URL of a queue. The text says what is wrong, and never repeats it.
var ErrURL = errors.New("not a kafka:// URL as holdfast takes it")

// place is what a URL says.
type place struct {
	brokers    []string
	prefix     string
	single     bool
	partitions int
	tls        *bool  // nil: not said
	ca         string // file of certificates to trust instead of the system's
}

// parse reads kafka://HOST[:9092],…/PREFIX?single-broker=true&partitions=N&tls=true&ca=FILE.
// Several hosts with ports are no URL to net/url, so they are read by hand.
func parse(text string) (p place, err error) {
	rest, ok := strings.CutPrefix(text, "kafka://")
	hosts, rest, slash := strings.Cut(rest, "/")
	prefix, query, _ := strings.Cut(rest, "?")
	switch {
	case !ok || !slash || hosts == "" || prefix == "":
		return p, fmt.Errorf("%w: write kafka://HOST:PORT,HOST:PORT/PREFIX", ErrURL)
	case strings.Contains(hosts, "@"):
		return p, fmt.Errorf("%w: there is a user or a password in it, which lists of processes and settings would show: take it out, and set HOLDFAST_KAFKA_USER, and HOLDFAST_KAFKA_PASSWORD or HOLDFAST_KAFKA_PASSWORD_FILE", ErrURL)
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), "9092")
		}
		p.brokers = append(p.brokers, h)
	}
	p.prefix = prefix
	q, err := url.ParseQuery(query)
	if err != nil {
		return p, fmt.Errorf("%w: what stands behind ? cannot be read", ErrURL)
	}
	return p, p.options(q)
}

func (p *place) options(q url.Values) error {
	for name, all := range q {
		v := all[len(all)-1]
		var err error
		switch name {
		case "single-broker":
			p.single, err = strconv.ParseBool(v)
		case "partitions":
			p.partitions, err = strconv.Atoi(v)
		case "tls":
			var on bool
			on, err = strconv.ParseBool(v)
			p.tls = &on
		case "ca":
			p.ca = v
		default:
			return fmt.Errorf("%w: %.40q is not known: single-broker, partitions, tls and ca are", ErrURL, name)
		}
		if err != nil {
			return fmt.Errorf("%w: %s has no such value", ErrURL, name)
		}
	}
	if p.partitions < 0 || p.partitions > maxPartitions {
		return fmt.Errorf("%w: 1 to %d partitions", ErrURL, maxPartitions)
	}
	return nil
}

// maxPartitions is what Topics of pipeline/postgres hold.
const maxPartitions = 8191

// transport is nil where nothing is encrypted: a password goes over no plain
// connection, unless the URL says that it may.
func (p place) transport(user string) (*tls.Config, error) {
	on := user != "" || p.ca != ""
	if p.tls != nil {
		on = *p.tls
	}
	if !on {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.ca == "" {
		return c, nil
	}
	b, err := os.ReadFile(p.ca)
	if err != nil {
		return nil, fmt.Errorf("%w: ca: %w", ErrURL, err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%w: ca: no certificate is in that file", ErrURL)
	}
	return c, nil
}

// schema is the namespace of a queue's Tasks in the database; a long prefix is
// replaced by its hash, since PostgreSQL would cut it off.
func schema(prefix string) string {
	if len(prefix) > 40 {
		prefix = fmt.Sprintf("%x", sha256.Sum256([]byte(prefix)))[:40]
	}
	return "holdfast_queue_" + prefix
}
