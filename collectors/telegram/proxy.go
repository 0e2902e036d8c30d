package telegram

import (
	"context"
	"net"

	"github.com/gotd/td/telegram/dcs"
)

// Proxy is the way to the service; nil is the direct line.
type Proxy struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	secret []byte // of an MTProxy at address
	at     string
}

func (p *Proxy) resolver() (dcs.Resolver, error) {
	switch {
	case p == nil:
		return dcs.Plain(dcs.PlainOptions{}), nil
	case p.secret != nil:
		return dcs.MTProxy(p.at, p.secret, dcs.MTProxyOptions{})
	}
	return dcs.Plain(dcs.PlainOptions{Dial: p.dial}), nil
}
