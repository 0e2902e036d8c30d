package holdfast

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast/canon"
	"holdfast/hashing"
)

// MaxProof is the most hashes that a proof may hold: enough for 2^63 entries.
const MaxProof = 64

// Inclusion is the proof that a Seal is entry Index of the log's first Size
// entries (RFC 9162 section 2.1.3).
type Inclusion struct {
	Hashes  []hash32 `json:"hashes"`
	Index   int64    `json:"index"`
	Kind    string   `json:"kind"`
	Size    int64    `json:"size"`
	Version int      `json:"version"`
}

// Consistency is the proof that the log of size From is the beginning of the
// log of size To (RFC 9162 section 2.1.4).
type Consistency struct {
	From    int64    `json:"from"`
	Hashes  []hash32 `json:"hashes"`
	Kind    string   `json:"kind"`
	To      int64    `json:"to"`
	Version int      `json:"version"`
}

// hash32 is a Merkle hash: base64 in JSON, exactly 32 bytes.
type hash32 tlog.Hash

// MarshalJSON implements json.Marshaler.
func (h hash32) MarshalJSON() ([]byte, error) {
	return []byte(`"` + base64.StdEncoding.EncodeToString(h[:]) + `"`), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *hash32) UnmarshalJSON(b []byte) error {
	var raw []byte
	if err := json.Unmarshal(b, &raw); err != nil || len(raw) != len(h) {
		return malformed("proof hash is not 32 bytes")
	}
	copy(h[:], raw)
	return nil
}

// NewInclusion builds the part from a proof.
func NewInclusion(index, size int64, proof [][]byte) (*Inclusion, error) {
	hs, err := hashes(proof)
	return &Inclusion{Hashes: hs, Index: index, Kind: "inclusion", Size: size, Version: Version}, err
}

// NewConsistency builds the file from a proof.
func NewConsistency(from, to int64, proof [][]byte) (*Consistency, error) {
	hs, err := hashes(proof)
	return &Consistency{From: from, Hashes: hs, Kind: "consistency", To: to, Version: Version}, err
}

func hashes(proof [][]byte) ([]hash32, error) {
	hs := make([]hash32, len(proof))
	for i, p := range proof {
		if len(p) != len(hs[i]) {
			return nil, malformed("proof hash of %d bytes", len(p))
		}
		copy(hs[i][:], p)
	}
	return hs, nil
}

// Encode returns the canonical bytes.
func (p *Inclusion) Encode() ([]byte, error) { return canon.Marshal(p) }

// Encode returns the canonical bytes.
func (p *Consistency) Encode() ([]byte, error) { return canon.Marshal(p) }

// ParseInclusion reads the part; errors wrap [ErrForm] or [ErrNewer]. Index 0
// is refused: it is the log's birth, never a Seal.
func ParseInclusion(b []byte) (*Inclusion, error) {
	return parse[Inclusion](b, MaxDocument)
}

func (p *Inclusion) check() error {
	if p.Version != Version {
		return wrongVersion("inclusion", p.Version)
	}
	if p.Kind != "inclusion" || p.Index < 1 || p.Size <= p.Index || len(p.Hashes) > MaxProof {
		return malformed("inclusion: kind, version, index %d, size %d or %d hashes", p.Index, p.Size, len(p.Hashes))
	}
	return nil
}

// ParseConsistency reads the file; errors wrap [ErrForm] or [ErrNewer].
func ParseConsistency(b []byte) (*Consistency, error) {
	return parse[Consistency](b, MaxDocument)
}

func (p *Consistency) check() error {
	if p.Version != Version {
		return wrongVersion("consistency", p.Version)
	}
	if p.Kind != "consistency" || p.From < 1 || p.To <= p.From || len(p.Hashes) > MaxProof {
		return malformed("consistency: kind, version, %d to %d or %d hashes", p.From, p.To, len(p.Hashes))
	}
	return nil
}

// Check verifies that leaf is in the tree with that root.
func (p *Inclusion) Check(root hashing.Digest, leaf []byte) error {
	proof := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(proof, p.Size, tlog.Hash(root), p.Index, tlog.RecordHash(leaf)); err != nil {
		return malformed("inclusion of entry %d in %d: %w", p.Index, p.Size, err)
	}
	return nil
}

// Check verifies that the tree of root from grew into the tree of root to.
func (p *Consistency) Check(from, to hashing.Digest) error {
	proof := make(tlog.TreeProof, len(p.Hashes))
	for i, h := range p.Hashes {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, p.To, tlog.Hash(to), p.From, tlog.Hash(from)); err != nil {
		return malformed("consistency %d to %d: %w", p.From, p.To, err)
	}
	return nil
}

// OpenCheckpoint verifies a C2SP checkpoint with a vkey and returns the tree.
// Exactly the three lines of a checkpoint are accepted, so that one tree has
// one text; further signatures (witnesses) are allowed.
func OpenCheckpoint(text []byte, vkey string) (Tree, error) {
	if len(text) > 64<<10 {
		return Tree{}, malformed("checkpoint of %d bytes", len(text))
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return Tree{}, malformed("log key: %w", err)
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return Tree{}, malformed("checkpoint: %w", err)
	}
	t, err := treeOf(n.Text)
	if err == nil && t.Origin != v.Name() {
		err = malformed("checkpoint of %.80q signed by %.80q", t.Origin, v.Name())
	}
	return t, err
}

func treeOf(body string) (Tree, error) {
	l := strings.Split(body, "\n")
	if len(l) != 4 || l[3] != "" {
		return Tree{}, malformed("checkpoint has %d lines, want 3", len(l)-1)
	}
	size, err := strconv.ParseInt(l[1], 10, 64)
	root, rerr := base64.StdEncoding.Strict().DecodeString(l[2])
	t := Tree{Origin: l[0], Size: size}
	copy(t.Root[:], root)
	if err != nil || rerr != nil || len(root) != hashing.Size || fmt.Sprintf("%s\n%d\n%s\n", t.Origin, t.Size, l[2]) != body || size < 1 {
		return Tree{}, malformed("checkpoint: size or root")
	}
	return t, nil
}

// Birth is entry 0 of every log.
type Birth struct {
	Created  Time   `json:"created"`
	Keys     []SPKI `json:"keys"`
	Kind     string `json:"kind"`
	Node     string `json:"node"`
	Previous *Tree  `json:"previous"`
	Training bool   `json:"training"`
	Version  int    `json:"version"`
}

// SPKI is a public key, SubjectPublicKeyInfo in DER.
type SPKI struct {
	SPKI []byte `json:"spki"`
}

// Encode returns the canonical bytes.
func (b *Birth) Encode() ([]byte, error) {
	c := *b
	c.Version, c.Kind = Version, "birth"
	fill(&c.Keys)
	return canon.Marshal(&c)
}

// VKeyEd25519 returns the raw key of a C2SP vkey and checks that it is the
// Ed25519 key that the name is bound to.
func VKeyEd25519(vkey string) (name string, key ed25519.PublicKey, err error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return "", nil, malformed("log key: %w", err)
	}
	p := strings.SplitN(vkey, "+", 3) // the base64 of the key may hold a plus
	raw, err := base64.StdEncoding.DecodeString(p[len(p)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || !strings.HasSuffix(v.Name(), "."+LogKeyHash(raw[1:])) {
		return "", nil, malformed("log key is not the one that the name %.80q is made from", v.Name())
	}
	return v.Name(), ed25519.PublicKey(raw[1:]), nil
}

// SigstoreSeal is seal.sigstore.json: the parts again, in the form that other
// people's verifiers read. Members as in the Sigstore protobuf's JSON.
type SigstoreSeal struct {
	DSSE      Envelope `json:"dsseEnvelope"`
	MediaType string   `json:"mediaType"`
	Material  struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
		Timestamps struct {
			RFC3161 []SignedTimestamp `json:"rfc3161Timestamps"`
		} `json:"timestampVerificationData"`
		Entries []SigstoreEntry `json:"tlogEntries"`
	} `json:"verificationMaterial"`
}

// SignedTimestamp is a whole TimeStampResp.
type SignedTimestamp struct {
	Response []byte `json:"signedTimestamp"`
}

// SigstoreEntry is a transparency-log entry with its inclusion proof.
type SigstoreEntry struct {
	Body  []byte `json:"canonicalizedBody"`
	Proof struct {
		Checkpoint struct {
			Envelope string `json:"envelope"`
		} `json:"checkpoint"`
		Hashes   []hash32 `json:"hashes"`
		LogIndex string   `json:"logIndex"`
		RootHash hash32   `json:"rootHash"`
		TreeSize string   `json:"treeSize"`
	} `json:"inclusionProof"`
	KindVersion struct {
		Kind    string `json:"kind"`
		Version string `json:"version"`
	} `json:"kindVersion"`
	LogID struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
	LogIndex string `json:"logIndex"`
}

// Sigstore assembles seal.sigstore.json. responses are whole TimeStampResp in
// the order in which they shall stand; checkpoint is the text that inclusion
// is proven against.
func Sigstore(e *Envelope, spki []byte, checkpoint []byte, tree Tree, logKey []byte, p *Inclusion, responses [][]byte) ([]byte, error) {
	s := SigstoreSeal{DSSE: *e, MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"}
	s.Material.PublicKey.Hint = KeyID(spki)
	s.Material.Timestamps.RFC3161 = []SignedTimestamp{}
	for _, r := range responses {
		s.Material.Timestamps.RFC3161 = append(s.Material.Timestamps.RFC3161, SignedTimestamp{r})
	}
	entry := SigstoreEntry{Body: e.Leaf(spki), LogIndex: strconv.FormatInt(p.Index, 10)}
	entry.Proof.Checkpoint.Envelope = string(checkpoint)
	entry.Proof.Hashes, entry.Proof.RootHash = p.Hashes, hash32(tree.Root)
	entry.Proof.LogIndex, entry.Proof.TreeSize = entry.LogIndex, strconv.FormatInt(p.Size, 10)
	entry.KindVersion.Kind, entry.KindVersion.Version = "hashedrekord", "0.0.2"
	entry.LogID.KeyID = LogID(tree.Origin, logKey)
	s.Material.Entries = []SigstoreEntry{entry}
	return canon.Marshal(&s)
}

// consistency links all states of each log (bundle.md, section 8).
func (v *verifier) consistency() {
	logs := map[string][]Tree{}
	for _, n := range v.p.Nodes {
		if c := n.Log.Checkpoint; c != nil {
			v.trees = append(v.trees, Tree{n.Name, c.Root, c.Size})
		}
	}
	for _, e := range v.under("data/tlog/") {
		if s := strings.Split(e.name, "/"); len(s) == 4 && s[3] == "checkpoint" {
			if t, err := v.newest(e, s[2]); err != nil {
				v.find("checkpoint-signature", Contradicted, Proven, e.name, "%v", err)
			} else {
				v.trees = append(v.trees, t)
			}
		}
	}
	for _, t := range v.trees {
		logs[t.Origin] = append(logs[t.Origin], t)
	}
	proofs := map[string]bool{} // names of those that are between two states here
	for _, origin := range slices.Sorted(maps.Keys(logs)) {
		ts := logs[origin]
		slices.SortFunc(ts, func(a, b Tree) int { return cmp.Compare(a.Size, b.Size) })
		for i := 1; i < len(ts); i++ {
			proofs[v.link(ts[i-1], ts[i])] = true
		}
		v.find("log-unwitnessed", Note, Stated, "log "+origin, "kept by its maker, unwitnessed: that it has no other form is shown only against the %d states here", len(ts))
	}
	for _, e := range v.under("data/tlog/") {
		if !proofs[e.name] && !strings.HasSuffix(e.name, "/checkpoint") {
			v.unlinked(e, logs)
		}
	}
}

// unlinked looks at a proof that is not between neighbours (a state that the
// Policy pins may lie between): it must be what its name says, and hold if its
// two states are here.
func (v *verifier) unlinked(e *entry, logs map[string][]Tree) {
	s := strings.Split(e.name, "/")
	from, to, _ := strings.Cut(strings.TrimSuffix(s[3], ".json"), "-")
	ts := logs[s[2]]
	a, b := sizeIn(ts, from), sizeIn(ts, to)
	if a >= 0 && b > a && growthName(ts[a], ts[b]) == e.name {
		v.link(ts[a], ts[b])
		return
	}
	p, err := e.consistency()
	switch {
	case v.isNewer(err):
	case err != nil || growthName(Tree{Origin: s[2], Size: p.From}, Tree{Size: p.To}) != e.name:
		v.find("file-extra", Contradicted, Stated, e.name, "no proof of the growth that its name says (%v)", err)
	default:
		v.find("log-unlinked", Note, Stated, e.name, "a proof between states that are not here")
	}
}

// sizeIn returns the place of a size among sorted states, or -1.
func sizeIn(ts []Tree, size string) int {
	n, err := strconv.ParseInt(size, 10, 64)
	i, ok := slices.BinarySearchFunc(ts, n, func(t Tree, n int64) int { return cmp.Compare(t.Size, n) })
	if err != nil || !ok {
		return -1
	}
	return i
}

func growthName(a, b Tree) string {
	return fmt.Sprintf("data/tlog/%s/%d-%d.json", a.Origin, a.Size, b.Size)
}

func (v *verifier) newest(e *entry, origin string) (t Tree, err error) {
	raw, err := e.read(64 << 10)
	if err != nil {
		return t, err
	}
	err = malformed("no key for log %.80q", origin)
	for _, n := range append(slices.Clone(v.p.Nodes), v.m.Nodes...) {
		if n.Name == origin {
			if t, err = OpenCheckpoint(raw, n.Log.Key); err == nil {
				return t, nil
			}
		}
	}
	return t, err
}

// link checks that a grew into b and returns the name of the proof.
func (v *verifier) link(a, b Tree) string {
	subject := "log " + a.Origin
	if a.Size == b.Size {
		if a.Root != b.Root {
			v.find("log-fork", Contradicted, Proven, subject, "two different logs of size %d", a.Size)
		}
		return ""
	}
	name := growthName(a, b)
	e := v.b.byName[name]
	if e == nil {
		v.find("log-unlinked", Note, Stated, subject, "no proof that size %d grew into %d", a.Size, b.Size)
		return name
	}
	p, err := e.consistency()
	if err == nil && (p.From != a.Size || p.To != b.Size) {
		err = malformed("proof is of %d to %d", p.From, p.To)
	} else if err == nil {
		err = p.Check(a.Root, b.Root)
	}
	switch {
	case v.isNewer(err):
	case err != nil:
		v.find("log-fork", Contradicted, Proven, subject, "%v", err)
	default:
		v.find("log-fork", OK, Proven, subject, "size %d grew into %d", a.Size, b.Size)
	}
	return name
}

func (e *entry) consistency() (*Consistency, error) {
	raw, err := e.read(maxPart)
	if err != nil {
		return nil, err
	}
	return ParseConsistency(raw)
}
