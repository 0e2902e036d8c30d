package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/api"
	"holdfast/cmd/internal/spool"
)

func (c *cli) nodeCmd() *cobra.Command {
	return group("node", "Work as a process of its own: a stage, all of them, or the API", "holdfast node all --metrics 127.0.0.1:9464", append(c.nodeRoleCmds(), c.nodeAPICmd(), c.nodeMoveCmd())...)
}

// apiOptions are the flags of `node api`.
type apiOptions struct {
	listen, cert, key string
	serveOnly         bool
}

func (c *cli) nodeAPICmd() *cobra.Command {
	var o apiOptions
	cmd := command("api --listen ADDR [--tls-cert FILE --tls-key FILE]", "Let people and programs on other machines ask this node", "holdfast node api --listen 0.0.0.0:8017 --tls-cert node.crt --tls-key node.key", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			certificate, err := o.check()
			if err != nil {
				return err
			}
			n, err := c.openProcess(cmd.Context())
			if n == nil {
				return err
			}
			defer n.Close()
			if _, err := n.sealSigner(cmd.Context()); err != nil {
				return err
			}
			return c.nodeAPI(cmd.Context(), n, o, certificate)
		})
	cmd.Long = `Answers what api/openapi.yaml describes (GET /v1/openapi.yaml), for whoever has a token of
'holdfast token add'; 'holdfast capture --server URL' and others ask it. What is asked
for it captures and seals too, unless --serve-only leaves that to other processes of the
node. Watches are followed by 'holdfast watch run'.

Off this machine's own addresses it speaks TLS alone; files that are renewed count from
the next connection on. SIGTERM lets what is under way end, for ten seconds; what was
accepted goes on with the next start.

exit status: 0 stopped  1 could not  2 usage, or no node: starting it anew is no help`
	cmd.Flags().StringVar(&o.listen, "listen", "", "address, such as 127.0.0.1:8017")
	cmd.Flags().StringVar(&o.cert, "tls-cert", "", "PEM file with the certificate and those above it")
	cmd.Flags().StringVar(&o.key, "tls-key", "", "PEM file with its private key, that only you can read")
	c.metricsFlag(cmd, "api")
	cmd.Flags().BoolVar(&o.serveOnly, "serve-only", false, "capture and seal nothing: other processes do")
	return cmd
}

// check refuses an open line to other machines before anything is opened.
func (o apiOptions) check() (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, usageError("--listen %.100q: give an address and a port, such as 127.0.0.1:8017", o.listen)
	}
	if (o.cert == "") != (o.key == "") {
		return nil, usageError("--tls-cert and --tls-key go together")
	}
	if o.cert == "" {
		if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && host != "localhost" {
			return nil, usageError("--listen %s can be reached from other machines, where tokens and captures would go in clear: give --tls-cert and --tls-key, or listen on 127.0.0.1", o.listen)
		}
		return nil, nil
	}
	p := &certificatePair{cert: o.cert, key: o.key}
	if _, err := p.get(nil); err != nil {
		return nil, usageError("%w", err)
	}
	return p.get, nil
}

// certificatePair reads its files again when they have changed. Where the new ones are no
// good the old ones go on.
type certificatePair struct {
	cert, key string

	mu   sync.Mutex
	have *tls.Certificate
	asOf [2]time.Time
}

func (p *certificatePair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asOf := [2]time.Time{changed(p.cert), changed(p.key)}
	if p.have != nil && asOf == p.asOf {
		return p.have, nil
	}
	k, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		if p.have != nil {
			return p.have, nil
		}
		return nil, fmt.Errorf("read --tls-cert and --tls-key: %w", err)
	}
	p.have, p.asOf = &k, asOf
	return p.have, nil
}

func (c *cli) nodeAPI(ctx context.Context, n *node, o apiOptions, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	spool, err := spool.Open(n.dir)
	if err != nil {
		return err
	}
	defer spool.Close()
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	scheme := "http"
	if certificate != nil {
		scheme = "https"
	}
	loop := newCollectLoop(n)
	door := &apiDoor{n: n, signs: loop.signs(!o.serveOnly), spool: spool}
	g, gctx := errgroup.WithContext(ctx)
	h := api.New(api.Options{Tokens: door, Cases: door, Custody: door, Asks: door, Captures: door, Objects: door, Watches: door, Bundles: door, Log: n.log, Stop: gctx.Done()})
	if err := n.serveMetrics(gctx, nil); err != nil {
		l.Close()
		return err
	}
	g.Go(func() error { return api.Serve(gctx, l, h, certificate, n.log) })
	if !o.serveOnly {
		g.Go(func() error { return loop.run(gctx) })
		g.Go(func() error { return n.work(gctx) })
	}
	c.say(map[string]any{"event": "serving", "url": scheme + "://" + l.Addr().String()}, "serving %s://%s", scheme, l.Addr())
	if err := g.Wait(); ctx.Err() == nil || err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	c.say(map[string]any{"event": "stopped"}, "stopped")
	return nil
}
