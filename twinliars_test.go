package holdfast_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/preserve/sealtest"
)

// cast is everybody who signs in the worlds of the twins.
type cast struct {
	t       testing.TB
	w       *world // of good/world.zip
	tsas    []*tsa
	one     string // its two Seals
	two     string
	oneM    []byte // and their Manifests
	twoM    []byte
	bundles map[string][]byte // good/…
	policy  map[string]*holdfast.Policy
}

func newCast(t testing.TB) *cast {
	t.Helper()
	c := &cast{t: t, bundles: map[string][]byte{}, policy: map[string]*holdfast.Policy{}}
	for _, op := range []string{"Alpha Notaries", "Beta Timestamping", "Gamma Clocks"} {
		c.tsas = append(c.tsas, newTSA(op, tsaOptions{}))
	}
	now := time.Now().Add(-time.Hour)
	c.w = newWorld(t, now, c.tsas...)
	a, b := c.w.capture(nil), c.w.capture(nil)
	c.one, c.two = c.w.seal(sealing{}, a), c.w.seal(sealing{}, b)
	c.oneM, c.twoM = c.w.made[a].manifest, c.w.made[b].manifest
	c.w.line("note", nil)
	c.good("world", c.w, nil)
	c.good("slice", c.w, func(o *export.Options) {
		o.Slices = []export.SliceRef{{Capture: b, Object: "source.html", Slice: "message-2"}}
	})
	c.good("whole", c.w, func(o *export.Options) { o.Restricted = true })
	c.w.hide = 2
	c.good("line-withheld", c.w, nil)
	c.w.hide = 0
	c.since()
	w := newWorld(t, now, c.tsas...)
	id := w.capture(nil)
	o := sealing{}
	for i := range 64 {
		o.by, o.names = append(o.by, c.tsas[i%3]), append(o.names, []string{"alpha", "beta", "gamma"}[i%3])
	}
	w.seal(o, id)
	c.good("many-tokens", w, nil)
	for name, change := range map[string]func(*box){"deflated": (*box).deflate, "slim": (*box).slim} {
		b := open(t, must(readFile(goodDir+"page.zip")))
		b.mend()
		change(b)
		c.bundles[name], c.policy[name] = b.pack(), readPolicy(t, goodDir+"page.policy.json")
	}
	return c
}

// since: everything is valid for some seconds more. Not of the past, because the
// encoder of the tokens writes the true time of signing into them.
func (c *cast) since() {
	then, ended := time.Now(), time.Now().Add(20*time.Second)
	var old []*tsa
	for _, op := range []string{"Alpha Notaries", "Beta Timestamping"} {
		old = append(old, newTSA(op, tsaOptions{rootUntil: ended, unitUntil: ended}))
	}
	w := newWorld(c.t, then, old...)
	w.seal(sealing{at: then}, w.capture(nil))
	c.good("expired-since", w, nil)
	w = newWorld(c.t, then.Add(-90*time.Second), c.tsas...)
	w.seal(sealing{at: then}, w.capture(nil))
	c.good("key-retired-since", w, nil)
	until := holdfast.At(ended)
	c.policy["key-retired-since"].Nodes[0].Keys[0].Until = &until
	for i := range c.policy["key-retired-since"].Authorities {
		c.policy["key-retired-since"].Authorities[i].Until = &until
	}
}

func (c *cast) good(name string, w *world, change func(*export.Options)) {
	b := open(c.t, w.bundle(change))
	b.slim()
	b.mend()
	c.bundles[name], c.policy[name] = b.pack(), clonePolicy(w.policy)
}

func clonePolicy(p *holdfast.Policy) *holdfast.Policy {
	return must(holdfast.ParsePolicy(must(p.Encode())))
}

// reseal lets the office make another Seal in the place of the first or second.
func (c *cast) reseal(b *box, seal string, o sealing, manifests ...[]byte) {
	o.id = seal
	if o.log == nil {
		o.log = c.w.log.Fork() // the twins must not grow into each other
	}
	_, parts := c.w.sealParts(o, manifests...)
	b.replant(seal, parts, c.w, o.log)
}

// liars are offices that sign what is false, with their own keys and log, and
// with what honest authorities give to anybody.
func (c *cast) liars() []twin {
	var list []twin
	add := func(name, why string, change func(b *box), restate func(*holdfast.Export)) *twin {
		list = append(list, twin{name: name, base: "world", why: why, change: change, liar: c.w.key, restate: restate})
		return &list[len(list)-1]
	}
	restateManifest := func(i int, b *[]byte) func(*holdfast.Export) {
		return func(x *holdfast.Export) { x.Exhibits[i].Manifest = hashing.Of(*b); count(x) }
	}
	text := exhibit1 + "text.txt"
	add("object-digest--changed-and-stated", byObject, func(b *box) { b.spoil(text, 3) }, nil)
	add("object-missing--and-not-stated", byObject, func(b *box) { b.drop(text) }, nil)
	add("object-digest--withheld-yet-here", byExport, nil, func(x *holdfast.Export) {
		x.Withheld = append(x.Withheld, holdfast.WithheldObject{Digest: hashing.Of([]byte("first message second message")), Exhibit: "1", Name: "text.txt", Reason: "restricted"})
	})
	add("object-digest--withheld-under-another-digest", byExport, nil, func(x *holdfast.Export) { x.Withheld[0].Digest = hashing.Of(nil) })
	add("case-count--exhibit-not-counted", byExport, nil, func(x *holdfast.Export) { x.Cases[0].Captures = x.Cases[0].Captures[:1] })
	add("file-extra--in-no-manifest", byObject, func(b *box) { b.put(exhibit1+"note.txt", []byte("x")) }, nil)
	add("file-extra--exhibit-of-no-number", byExport, func(b *box) { b.put("data/exhibits/9/note.txt", []byte("x")) }, nil)
	add("file-extra--beside-the-exhibits", byExport, func(b *box) { b.put("data/note.txt", []byte("x")) }, nil)
	var changed []byte
	add("subject-missing--manifest-changed-and-stated", "the Seal is over the Manifest", func(b *box) {
		changed = bytes.Replace(c.oneM, []byte("investigator"), []byte("investigat0r"), 1)
		b.put(exhibit1+"manifest.json", changed)
	}, restateManifest(0, &changed))
	add("subject-missing--seal-of-another", bySeal, nil, func(x *holdfast.Export) { x.Exhibits[0].Seal = c.two; x.Exhibits[1].Seal = c.one })
	c.manifestLiars(add)
	c.sealLiars(add)
	c.tokenLiars(add)
	c.logLiars(add)
	c.custodyLiars(add)
	c.secondLook(add)
	add("trust-form--entry-of-another-node", byExport, func(b *box) {
		p := b.find("data/trust/nodes/", ".json")
		b.put("data/trust/nodes/other.0123456789abcdef.json", b.get(p))
	}, nil)
	add("trust-form--key-pem-of-another", "cosign and openssl are told which key to use, and take it", func(b *box) {
		spki := must(x509.MarshalPKIXPublicKey(newKey().Public()))
		b.put(b.find("data/trust/nodes/", ".pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	}, nil)
	return list
}

// count lets the Case of a world have just the exhibits.
func count(x *holdfast.Export) {
	x.Cases[0].Captures = nil
	for _, e := range x.Exhibits {
		x.Cases[0].Captures = append(x.Cases[0].Captures, e.Manifest)
	}
	slices.SortFunc(x.Cases[0].Captures, hashing.Digest.Compare)
}

type adder func(name, why string, change func(*box), restate func(*holdfast.Export)) *twin

func (c *cast) manifestLiars(add adder) {
	remade := func(name string, exit int, raw func() []byte, extra func(x *holdfast.Export)) {
		var m []byte
		t := add(name, byForm, func(b *box) {
			m = raw()
			b.put("data/exhibits/2/manifest.json", m)
			c.reseal(b, c.two, sealing{}, m)
		}, func(x *holdfast.Export) {
			x.Exhibits[1].Manifest = hashing.Of(m)
			if extra != nil {
				extra(x)
			}
			count(x)
		})
		t.exit = exit
	}
	first := must(holdfast.ParseManifest(c.oneM))
	remade("capture-twice--two-manifests", 1, func() []byte {
		m := must(holdfast.ParseManifest(c.twoM))
		m.ID = first.ID
		return must(m.Encode())
	}, func(x *holdfast.Export) { x.Exhibits[1].Capture = first.ID })
	text := func(old, now string) func() []byte {
		return func() []byte {
			if !bytes.Contains(c.twoM, []byte(old)) {
				panic(old)
			}
			return bytes.Replace(c.twoM, []byte(old), []byte(now), 1)
		}
	}
	remade("manifest-form--sealed-with-a-space", 1, text(`{"agent"`, `{ "agent"`), nil)
	remade("manifest-form--sealed-with-a-member-twice", 1, text(`"training":true`, `"training":true,"training":true`), nil)
	remade("manifest-form--sealed-with-no-objects-list", 1, text(`"commitments":[]`, `"commitments":null`), nil)
	remade("newer--manifest", 2, text(`"version":1`, `"version":2`), nil)
	remade("manifest-form--object-outside", 1, text(`"name":"text.txt"`, `"name":"../text.txt"`), nil)
}

func (c *cast) sealLiars(add adder) {
	resealed := func(name, why string, o func() sealing) *twin {
		return add(name, why, func(b *box) { c.reseal(b, c.two, o(), c.twoM) }, nil)
	}
	changed := func(name, why string, change func(*holdfast.Statement)) *twin {
		return resealed(name, why, func() sealing { return sealing{change: change} })
	}
	resealed("statement-signature--other-key", "the hint names the key that is asked for", func() sealing { return sealing{key: newKey()} })
	changed("statement-form--1025-subjects", byForm, func(s *holdfast.Statement) {
		var ds []hashing.Digest
		for i := range 1024 {
			ds = append(ds, hashing.Of(fmt.Append(nil, i)))
		}
		s.Subject = must(holdfast.NewStatement(s.Predicate, ds)).Subject
		s.Subject = append(s.Subject, holdfast.Subject{Name: "1024"})
		s.Subject[1024].Digest.SHA256 = strings.Repeat("f", 64)
		s.Predicate.Count = 1025
	})
	changed("statement-form--subjects-unsorted", byForm, func(s *holdfast.Statement) {
		s.Subject = append(s.Subject, s.Subject[0])
		s.Subject[1].Name, s.Subject[1].Digest.SHA256, s.Predicate.Count = "1", strings.Repeat("0", 64), 2
	})
	changed("statement-form--count", byForm, func(s *holdfast.Statement) { s.Predicate.Count = 7 })
	changed("statement-form--seal-of-another-name", bySeal, func(s *holdfast.Statement) { s.Predicate.Seal = c.one })
	changed("newer--statement", byForm, func(s *holdfast.Statement) { s.Predicate.Version = 2 }).exit = 2
	changed("subject-missing--training-in-one", byForm, func(s *holdfast.Statement) { s.Predicate.Training = false })
	add("seal-parts--of-no-exhibit", bySeal, func(b *box) {
		id := holdfast.SealID("00112233445566aa", 0, 99)
		log := c.w.log.Fork()
		_, parts := c.w.sealParts(sealing{id: id, log: log}, c.oneM)
		b.replant(id, parts, c.w, log)
	}, nil)
	add("seal-parts--65-tokens", bySeal, func(b *box) {
		o := sealing{}
		for i := range 65 {
			o.by, o.names = append(o.by, c.tsas[i%3]), append(o.names, []string{"alpha", "beta", "gamma"}[i%3])
		}
		c.reseal(b, c.two, o, c.twoM)
	}, nil)
	add("seal-parts--sigstore-bundle-with-a-member-more", bySeal, func(b *box) {
		b.edit("data/seals/"+c.two+"/seal.sigstore.json", `{"dsseEnvelope"`, `{"dsseAnvelope":1,"dsseEnvelope"`)
	}, nil)
	add("seal-parts--part-more", bySeal, func(b *box) { b.put("data/seals/"+c.two+"/plan.json", []byte("{}")) }, nil)
}

func (c *cast) tokenLiars(add adder) {
	by := func(name, why string, a *tsa) {
		add(name, why, func(b *box) { c.reseal(b, c.two, sealing{by: append(slices.Clone(c.tsas), a)}, c.twoM) }, nil)
	}
	by("timestamp-signature--sha-1", "one good token suffices for them", newTSA("Weak", tsaOptions{hash: crypto.SHA1}))
	by("timestamp-signature--rsa-1024", "one good token suffices for them", newTSA("Weak", tsaOptions{key: rsa1024()}))
	add("timestamp-imprint--of-another-signature", "one good token suffices for them", func(b *box) {
		log := c.w.log.Fork()
		_, parts := c.w.sealParts(sealing{id: c.two, log: log}, c.twoM)
		token := c.tsas[0].stamp([]byte("another"), c.w.now)
		parts["timestamps/alpha/"+hashing.Of(token).Hex()+".tst"] = token
		b.replant(c.two, parts, c.w, log)
	}, nil)
	add("timestamp-form--no-token", bySeal, func(b *box) {
		log := c.w.log.Fork()
		_, parts := c.w.sealParts(sealing{id: c.two, log: log}, c.twoM)
		b.replant(c.two, parts, c.w, log)
		junk := []byte("0\x03\x02\x01\x05")
		b.put("data/seals/"+c.two+"/timestamps/alpha/"+hashing.Of(junk).Hex()+".tst", junk)
	}, nil)
	add("not-before--after-the-seal", "no other tool reads notBefore", func(b *box) {
		c.reseal(b, c.two, sealing{notBefore: c.tsas[0].stamp([]byte("later"), c.w.now.Add(30*time.Minute))}, c.twoM)
	}, nil)
}

func (c *cast) logLiars(add adder) {
	add("log-fork--two-views", byLog, func(b *box) {
		fork := c.w.log.Fork()
		fork.Add([]byte("the other past"))
		log := c.w.log.Fork()
		log.Add([]byte("the one past"))
		c.reseal(b, c.one, sealing{log: log}, c.oneM)
		c.reseal(b, c.two, sealing{log: fork}, c.twoM)
	}, nil)
	add("log-fork--growth-that-is-none", byLog, func(b *box) {
		other := sealtest.NewLog(c.t, c.w.skey)
		for range 6 {
			other.Add([]byte("another past"))
		}
		tree, cp := other.Newest()
		dir := "data/tlog/" + c.w.node.Name + "/"
		old := must(holdfast.OpenCheckpoint(b.get(dir+"checkpoint"), c.w.node.Log.Key))
		b.put(dir+"checkpoint", cp)
		b.put(fmt.Sprintf("%s%d-%d.json", dir, old.Size, tree.Size), must(other.Consistency(old.Size, tree.Size).Encode()))
	}, nil)
	add("inclusion--older-than-the-statement", byLog, func(b *box) {
		log := c.w.log.Fork()
		c.reseal(b, c.two, sealing{log: log, change: func(s *holdfast.Statement) {
			later := log.Fork()
			later.Add([]byte("x"))
			later.Add([]byte("y"))
			s.Predicate.Checkpoint, _ = later.Newest()
		}}, c.twoM)
	}, nil)
	add("checkpoint-signature--other-key", "the checkpoint's key is that of the node's name", func(b *box) {
		p := b.holding("data/seals/"+c.two, "/checkpoint/")
		text, sig, _ := strings.Cut(string(b.get(p)), "\n\n")
		b.put(p, []byte(text+"\n\n"+strings.Replace(sig, sig[len(sig)-12:len(sig)-8], "AAAA", 1)))
	}, nil)
}

func (c *cast) custodyLiars(add adder) {
	add("custody-head--rewritten-and-stated", byCustody, func(b *box) {
		b.rows(func(l [][]byte) [][]byte { l[0] = bytes.Replace(l[0], []byte(`"test"`), []byte(`"tent"`), 1); return l })
	}, nil).restateHeads()
	add("custody-head--cut-and-stated", byCustody, func(b *box) { b.rows(func(l [][]byte) [][]byte { return l[:1] }) }, func(x *holdfast.Export) {
		x.Custody[0].Length = 1
	})
	add("export-form--custody-of-length-minus-one", byForm, nil, func(x *holdfast.Export) {
		x.Custody = append(x.Custody, holdfast.Head{Chain: holdfast.NewID(), Length: -1})
	})
	add("export-form--custody-chain-twice", byForm, nil, func(x *holdfast.Export) { x.Custody = append(x.Custody, x.Custody[0]) })
}

// restateHeads lets the statement fit the rows; resign runs change first.
func (w *twin) restateHeads() {
	change := w.change
	var chain holdfast.ID
	var h []hashing.Digest
	w.change = func(b *box) { change(b); chain, h = b.heads() }
	w.restate = func(x *holdfast.Export) {
		x.Custody = []holdfast.Head{{Chain: chain, Head: h[len(h)-1], Length: int64(len(h) - 1)}}
	}
}

// unproven are Bundles that contradict nothing and prove too little.
func (c *cast) unproven() []twin {
	id := func(w *world) holdfast.ID { return w.capture(nil) }
	var list []twin
	whole := func(name string, exit int, why string, f func() []byte) {
		list = append(list, twin{name: name, base: "world", exit: exit, why: why, whole: f, once: true})
	}
	whole("quorum--one-operator-two-urls", 3, byTime, func() []byte {
		b := open(c.t, c.bundles["world"])
		c.reseal(b, c.two, sealing{by: []*tsa{c.tsas[0], c.tsas[0]}, names: []string{"alpha", "alpha-2"}}, c.twoM)
		return c.finish(b, c.w.key, nil)
	})
	whole("inclusion--in-no-log", 3, "no seal.sigstore.json can be made without a log entry", func() []byte {
		b := open(c.t, c.bundles["world"])
		dir := "data/seals/" + c.two + "/"
		b.entries = slices.DeleteFunc(b.entries, func(e zipEntry) bool {
			return strings.HasPrefix(e.name, dir) && (strings.Contains(e.name, "/inclusion/") || strings.Contains(e.name, "/checkpoint/") || strings.HasSuffix(e.name, "sigstore.json"))
		})
		return c.finish(b, c.w.key, nil)
	})
	whole("quorum--operators-named-by-the-bundle", 3, byTime, func() []byte {
		mine := []*tsa{newTSA("Alpha Notaries", tsaOptions{}), newTSA("Beta Timestamping", tsaOptions{})}
		w := newWorld(c.t, c.w.now, mine...)
		w.seal(sealing{}, id(w))
		return w.bundle(nil)
	})
	whole("key-unknown--stranger", 4, "they take the key from whoever runs them", func() []byte {
		w := newWorld(c.t, c.w.now, c.tsas...)
		w.seal(sealing{}, id(w))
		return w.bundle(nil)
	})
	whole("key-unknown--under-the-name-of-the-office", 4, "they take the key from whoever runs them", c.usurper)
	for name, old := range map[string]*tsa{
		"timestamp-expired--unit": newTSA("Alpha Notaries", tsaOptions{unitUntil: c.w.now.Add(-time.Hour)}),
		"timestamp-expired--root": newTSA("Alpha Notaries", tsaOptions{rootUntil: c.w.now.Add(-time.Hour)}),
	} {
		list = append(list, c.expired(name, old, nil))
	}
	for name, info := range map[string]string{"payload-oxum-wrong": "\nPayload-Oxum: 1.1", "info-not-utf-8": "\nX: \xff\nPayload-Oxum: ", "info-without-label": "\nx\nPayload-Oxum: "} {
		list = append(list, twin{name: "bag--" + name, base: "world", once: true, why: byBag, whole: func() []byte {
			b := open(c.t, c.bundles["world"])
			b.put("bag-info.txt", bytes.Replace(b.get("bag-info.txt"), []byte("\nPayload-Oxum: "), []byte(info), 1))
			b.put("tagmanifest-sha256.txt", b.list(func(n string) bool { return !strings.HasPrefix(n, "data/") && n != "tagmanifest-sha256.txt" }))
			return b.pack()
		}})
	}
	old := newTSA("Alpha Notaries", tsaOptions{rootUntil: c.w.now.Add(-time.Hour)})
	stranger := newKey() // writes a certificate around the root's key, with other dates
	forged := certificate("Alpha Notaries root", time.Now().AddDate(9, 0, 0), true, old.rootKey.Public(), nil, stranger)
	list = append(list, c.expired("quorum--root-written-anew-by-a-stranger", old, forged))
	return append(list, c.policies()...)
}

// expired is a Seal whose first authority had ended when it signed.
func (c *cast) expired(name string, old *tsa, extra *x509.Certificate) twin {
	tsas := []*tsa{old, c.tsas[1]}
	w := newWorld(c.t, c.w.now, tsas...)
	w.seal(sealing{}, w.capture(nil))
	return twin{name: name, base: "world", exit: 3, once: true, why: "theirs is the trusted root in the bundle, which says nothing of when a certificate ended, or they look at one token alone",
		whole: func() []byte {
			b := open(c.t, w.bundle(nil))
			if extra != nil {
				b.put("data/trust/certs/"+hashing.Of(extra.Raw).Hex()+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: extra.Raw}))
			}
			return c.finish(b, w.key, nil)
		},
		policy: func(p *holdfast.Policy) { *p = *clonePolicy(w.policy) }}
}

// usurper has a key and a log of his own, and writes the office's name over them.
func (c *cast) usurper() []byte {
	w := newWorld(c.t, c.w.now, c.tsas...)
	w.seal(sealing{}, w.capture(nil))
	b := open(c.t, w.bundle(nil))
	id := w.made[w.order[0]].seal
	_, parts := w.sealParts(sealing{id: id, change: func(s *holdfast.Statement) { s.Predicate.Node = c.w.node.Name }}, w.made[w.order[0]].manifest)
	b.replant(id, parts, w, w.log)
	entry := c.w.node
	entry.Keys = []holdfast.PolicyKey{{SPKI: w.SPKI(), From: entry.Keys[0].From}}
	b.put("data/trust/nodes/"+entry.Name+".json", must(entry.Encode()))
	return c.finish(b, w.key, func(x *holdfast.Export) { x.Node = entry.Name })
}

// policies are honest Bundles under a Policy that does not take them.
func (c *cast) policies() []twin {
	before, after := holdfast.At(c.w.now.Add(-time.Hour)), holdfast.At(c.w.now.Add(time.Minute))
	other := hashing.Of([]byte("another"))
	each := func(f func(a *holdfast.Authority)) func(p *holdfast.Policy) {
		return func(p *holdfast.Policy) {
			for i := range p.Authorities {
				f(&p.Authorities[i])
			}
		}
	}
	p := func(name string, exit int, f func(p *holdfast.Policy)) twin {
		return twin{name: name, base: "world", exit: exit, why: byPolicy, once: true, policy: f}
	}
	return []twin{
		p("key-period--ended", 1, func(p *holdfast.Policy) { p.Nodes[0].Keys[0].Until = &before }),
		p("key-period--not-yet-begun", 1, func(p *holdfast.Policy) { p.Nodes[0].Keys[0].From = after }),
		p("key-period--ended-under-another-node", 4, func(p *holdfast.Policy) {
			other := newWorld(c.t, c.w.now).node
			other.Keys = []holdfast.PolicyKey{{SPKI: c.w.SPKI(), From: p.Nodes[0].Keys[0].From, Until: &before}}
			p.Nodes = append(p.Nodes, other)
		}),
		p("authority-period--ended", 3, each(func(a *holdfast.Authority) { a.Until = &before })),
		p("authority-period--not-yet-begun", 3, each(func(a *holdfast.Authority) { a.From = after })),
		p("authority-unknown--other-policy", 3, each(func(a *holdfast.Authority) { a.Policy = "1.2.3.4" })),
		p("authority-unknown--other-issuer", 3, each(func(a *holdfast.Authority) { a.Issuer = &other })),
		p("authority-unknown--other-root", 3, each(func(a *holdfast.Authority) { a.Root = hashing.Of([]byte(a.Operator)) })),
		p("quorum--one-company-behind-all", 3, each(func(a *holdfast.Authority) { a.Operator = "The same company" })),
		p("quorum--of-four", 3, func(p *holdfast.Policy) { p.Quorum = 4 }),
		p("key-unknown--no-node", 4, func(p *holdfast.Policy) { p.Nodes = []holdfast.PolicyNode{} }),
		p("log-fork--pinned-state", 1, func(p *holdfast.Policy) { p.Nodes[0].Log.Checkpoint = &holdfast.PinnedTree{Root: other, Size: 2} }),
	}
}

func (c *cast) finish(b *box, key *ecdsa.PrivateKey, restate func(*holdfast.Export)) []byte {
	b.resign(key, restate)
	b.mend()
	return b.pack()
}
