package telegramtest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto/srp"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

// prime is the safe prime that the service itself gives.
const prime = "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b"

// second is a second password, as the service keeps one: what it needs to check
// it (SRP, core.telegram.org/api/srp), never the password itself.
type second struct {
	hint string
	algo tg.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow
	v    *big.Int
	b    *big.Int // secret of the exchange; drawn once, since this is a test
}

// SetPassword gives the account a second password, and a hint to remember it by.
func (s *Server) SetPassword(word, hint string) error {
	p, err := hex.DecodeString(prime)
	if err != nil {
		return err
	}
	k := &second{hint: hint, b: new(big.Int)}
	k.algo.Salt1, k.algo.Salt2, k.algo.G, k.algo.P = []byte("salt one"), []byte("salt two, longer"), 3, p
	v, salt, err := srp.NewSRP(rand.Reader).NewHash([]byte(word), srp.Input(k.algo))
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	k.algo.Salt1, k.v = salt, new(big.Int).SetBytes(v)
	secret := make([]byte, 256)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	k.b.SetBytes(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.second = k
	return nil
}

func hashed(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func padded(n *big.Int) []byte { return n.FillBytes(make([]byte, 256)) }

// public is B = (k·v + g^b) mod p.
func (k *second) public() *big.Int {
	p, g := new(big.Int).SetBytes(k.algo.P), big.NewInt(int64(k.algo.G))
	n := new(big.Int).SetBytes(hashed(k.algo.P, padded(g)))
	n.Mul(n, k.v).Add(n, new(big.Int).Exp(g, k.b, p))
	return n.Mod(n, p)
}

// proof is M1, which shows that the other side knows the password.
func (k *second) proof(a []byte) []byte {
	p, g, b := new(big.Int).SetBytes(k.algo.P), big.NewInt(int64(k.algo.G)), padded(k.public())
	u := new(big.Int).SetBytes(hashed(a, b))
	t := new(big.Int).Exp(k.v, u, p)
	t.Mul(t, new(big.Int).SetBytes(a))
	key := hashed(padded(t.Exp(t, k.b, p)))
	x, y := hashed(k.algo.P), hashed(padded(g))
	for i := range x {
		x[i] ^= y[i]
	}
	return hashed(x, hashed(k.algo.Salt1), hashed(k.algo.Salt2), a, b, key)
}

const srpID = 4711

func passwordMethods(add func(uint32, method)) {
	add(on("account.getPassword", true, func(s *Server, _ *tgtest.Request, _ *tg.AccountGetPasswordRequest) (bin.Encoder, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := &tg.AccountPassword{NewAlgo: &tg.PasswordKdfAlgoUnknown{}, NewSecureAlgo: &tg.SecurePasswordKdfAlgoUnknown{}, SecureRandom: bytes.Repeat([]byte{7}, 256)}
		if k := s.second; k != nil {
			out.SetHasPassword(true)
			out.SetCurrentAlgo(&k.algo)
			out.SetSRPB(padded(k.public()))
			out.SetSRPID(srpID)
			out.SetHint(k.hint)
		}
		return encoded(out), nil
	}))
	add(on("auth.checkPassword", true, func(s *Server, req *tgtest.Request, in *tg.AuthCheckPasswordRequest) (bin.Encoder, error) {
		s.mu.Lock()
		k, begun := s.second, s.half[req.Session.AuthKey.ID]
		s.mu.Unlock()
		p, ok := in.Password.(*tg.InputCheckPasswordSRP)
		switch {
		case k == nil || !begun:
			return nil, tgerr.New(400, "PASSWORD_MISSING")
		case !ok || p.SRPID != srpID:
			return nil, tgerr.New(400, "SRP_ID_INVALID")
		case len(p.A) != 256 || !bytes.Equal(p.M1, k.proof(p.A)):
			return nil, tgerr.New(400, "PASSWORD_HASH_INVALID")
		}
		s.logIn(req)
		return encoded(&tg.AuthAuthorization{User: user(s.user(req))}), nil
	}))
}

// first is the end of the first step of a login: the account is logged in, or a
// second password is wanted.
func (s *Server) first(req *tgtest.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.second != nil {
		s.half[req.Session.AuthKey.ID] = true
		return tgerr.New(401, "SESSION_PASSWORD_NEEDED")
	}
	s.in[req.Session.AuthKey.ID] = true
	s.accounts.add(req)
	return nil
}
