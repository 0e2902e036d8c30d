package telegram

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"

	"holdfast/hashing"
)

// Production names Telegram itself, where another service has its Digest.
const Production = "production"

// MaxServers bounds a file of servers, in bytes.
const MaxServers = 64 << 10

// ErrServers is wrapped by the error for a file of servers that is none.
var ErrServers = errors.New("not a file of servers")

// Servers are those of another service than Telegram's own: its test servers, or
// one of one's own. A session is bound to the service that it was made with.
type Servers struct {
	main   int
	list   dcs.List
	keys   []exchange.PublicKey
	digest hashing.Digest
}

type serversFile struct {
	DC      int  `json:"dc"`
	Test    bool `json:"test"` // Telegram's own test servers: behind an MTProxy they have other numbers
	Servers []struct {
		ID   int    `json:"id"`
		Addr string `json:"addr"`
	} `json:"servers"`
	PublicKeys []string `json:"public_keys"`
}

// ParseServers reads {"dc":2,"servers":[{"id":2,"addr":"127.0.0.1:4430"}],
// "public_keys":["PEM"]}: the data centre that accounts live in, each one's
// address, and the keys that a server must show one of. Errors: [ErrServers].
func ParseServers(b []byte) (*Servers, error) {
	if len(b) > MaxServers {
		return nil, fmt.Errorf("%w: %d bytes", ErrServers, len(b))
	}
	var f serversFile
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServers, err)
	}
	s := &Servers{main: f.DC, list: dcs.List{Test: f.Test}, digest: hashing.Of(b)}
	if err := s.addresses(f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServers, err)
	}
	for _, text := range f.PublicKeys {
		keys, err := crypto.ParseRSAPublicKeys([]byte(text))
		if err != nil || len(keys) == 0 {
			return nil, fmt.Errorf("%w: a member of public_keys is no RSA key in PEM", ErrServers)
		}
		for _, k := range keys {
			s.keys = append(s.keys, exchange.PublicKey{RSA: k})
		}
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("%w: no public_keys", ErrServers)
	}
	return s, nil
}

func (s *Servers) addresses(f serversFile) error {
	found := false
	for _, a := range f.Servers {
		host, port, err := net.SplitHostPort(a.Addr)
		n, perr := strconv.ParseUint(port, 10, 16)
		ip := net.ParseIP(host)
		if err != nil || perr != nil || n == 0 || ip == nil || a.ID < 1 || a.ID > 1000 {
			return fmt.Errorf("server %d at %.80q: an id, and an IP address with a port, are wanted", a.ID, a.Addr)
		}
		found = found || a.ID == f.DC
		s.list.Options = append(s.list.Options, tg.DCOption{ID: a.ID, IPAddress: ip.String(), Port: int(n), Ipv6: ip.To4() == nil})
	}
	if !found {
		return fmt.Errorf("no server of dc %d in it", f.DC)
	}
	return nil
}

// Service is what a session is bound to: [Production], or the Digest of the file.
func (s *Servers) Service() string {
	if s == nil {
		return Production
	}
	return s.digest.String()
}

func (s *Servers) dc() int {
	if s == nil {
		return 2
	}
	return s.main
}
