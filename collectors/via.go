package collectors

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// What Collection.Egress says when no name was given to the way out.
const (
	EgressDirect  = "direct"  // the node's own line
	EgressUnnamed = "unnamed" // a proxy that has no name here
)

// ErrVia is wrapped by the error for a proxy that cannot be used. The address
// is not repeated in it: a password may be in there.
var ErrVia = errors.New("not a proxy")

// Via is the proxy that a Collector goes through. The proxy resolves names and
// connects; the Collector does neither, and when the proxy fails, nothing goes
// another way. Nothing prints the password.
type Via struct {
	Name     string // what records call it; "" is unnamed
	Scheme   string // "socks5" or "http" (CONNECT for all ports)
	Address  string // host:port of the proxy; a name here is resolved by the node
	User     string // at most 255 bytes; "" for none
	Password string // likewise
}

// ParseVia reads socks5://host:port (socks5h is the same) or http://host:port.
// A name or password in it is refused: what stands on a command line is read by
// others. Errors: [ErrVia].
func ParseVia(s string) (*Via, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: write socks5://host:port or http://host:port", ErrVia)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: a name or password stands in the address", ErrVia)
	}
	v := &Via{Scheme: strings.TrimSuffix(u.Scheme, "h"), Address: u.Host}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Scheme == "httph" {
		return nil, fmt.Errorf("%w: write socks5://host:port or http://host:port and nothing behind it", ErrVia)
	}
	return v, v.Check()
}

// Check refuses what no Collector can use.
func (v *Via) Check() error {
	host, port, err := net.SplitHostPort(v.Address)
	n, perr := strconv.ParseUint(port, 10, 16)
	switch {
	case v.Scheme != "socks5" && v.Scheme != "http":
		return fmt.Errorf("%w: scheme %.20q, only socks5 and http are spoken", ErrVia, v.Scheme)
	case err != nil || perr != nil || n == 0 || host == "":
		return fmt.Errorf("%w: write host and port, as in %s://host:1080", ErrVia, v.Scheme)
	case len(v.User) > 255 || len(v.Password) > 255 || v.User == "" && v.Password != "":
		return fmt.Errorf("%w: name and password have 1 to 255 bytes each", ErrVia)
	}
	return nil
}

// Label is what records call it: its name, or that it has none. Of nil it is
// [EgressDirect].
func (v *Via) Label() string {
	switch {
	case v == nil:
		return EgressDirect
	case v.Name == "":
		return EgressUnnamed
	}
	return v.Name
}

// String is the address without name and password.
func (v *Via) String() string { return v.Scheme + "://" + v.Address }

// GoString keeps %#v from printing the password.
func (v *Via) GoString() string { return v.String() }
