package export

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"iter"
	"log/slog"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// Errors that callers branch on.
var (
	// ErrExists says that the destination is there already.
	ErrExists = errors.New("destination exists")

	// ErrOptions says that the Options cannot be carried out as they are.
	ErrOptions = errors.New("cannot export as asked")

	// ErrSize says that a Bundle would be larger than it may be.
	ErrSize = errors.New("bundle too large")

	// ErrUnread says that one Bundle would hold more than a verifier reads.
	ErrUnread = errors.New("too much for one bundle")
)

// Captures gives what was captured. Both methods may be called more than once
// for one Capture and must give the same bytes each time.
type Captures interface {
	// Manifest returns the exact bytes of a Manifest and the ID of the Seal
	// that names it, "" while the Capture is pending.
	Manifest(ctx context.Context, capture holdfast.ID) (manifest []byte, seal string, err error)

	// OpenObject returns the bytes of an Object of that Capture, wherever they
	// lie (store, pack, queue). They are hashed here; the caller closes.
	OpenObject(ctx context.Context, capture holdfast.ID, o holdfast.Object) (io.ReadCloser, error)
}

// Cases gives what is known of a Case.
type Cases interface {
	// Facts returns its name and the Manifest Digests of all its Captures that
	// were accepted so far (Captures only, no Events), in any order.
	Facts(ctx context.Context, id holdfast.ID) (Facts, error)

	// Numbers returns the exhibit number of each Capture, in the order asked
	// (decimal from 1, without leading zeros), giving numbers to those that
	// have none. It is called once per Case, before Custody.
	Numbers(ctx context.Context, id holdfast.ID, captures []holdfast.ID) ([]string, error)

	// Custody yields the Case's lines: by chain, and in a chain from n = 1
	// without a gap.
	Custody(ctx context.Context, id holdfast.ID) iter.Seq2[CustodyRow, error]
}

// Facts is what the export statement says of a whole Case.
type Facts struct {
	Name     string
	Captures []hashing.Digest
	Record   *Record // Optional: what the page says of it; nil says nothing
}

// Record is what an office has recorded of a Case, which the page shows as
// stated. An empty field is shown as not recorded.
type Record struct {
	Reference, Mandate, LegalBasis, Purpose string
	Sources, Keywords                       []string
	Depth                                   *int
	Since, Until                            holdfast.Time
	Egress                                  string
	Canary                                  []string // shown only where there are any
	Comments                                bool     // likewise
}

// CustodyRow is one line of a chain: its bytes, or for a line that is not to be
// shown its Digest alone (then Line is nil, and Chain and N say which it is).
type CustodyRow struct {
	Line     []byte
	Chain    holdfast.ID
	N        int64
	Withheld hashing.Digest
}

// Parts is the store's folder seals/: [storage.Store] has both.
type Parts interface {
	storage.Reader
	storage.Lister
}

// Logs proves how a transparency log grew. Both methods wrap fs.ErrNotExist for
// a log, or a size, that is not at hand; then the Bundle goes without, which a
// verifier notes as `log-unlinked`.
type Logs interface {
	// Newest returns the newest checkpoint of an origin, a signed note.
	Newest(ctx context.Context, origin string) ([]byte, error)

	// Consistency proves that the tree of size from is the beginning of that
	// of size to (RFC 9162 section 2.1.4).
	Consistency(ctx context.Context, origin string, from, to int64) ([][]byte, error)
}

// Signer signs the export statement with a seal key of a node.
type Signer interface {
	// SPKI is the public key, SubjectPublicKeyInfo in DER, ECDSA P-256.
	SPKI() []byte

	// SignDigest signs a SHA-256: ECDSA, ASN.1 DER. The digest is that of the
	// DSSE PAE, so that a list of a million files need not be held for it.
	SignDigest(ctx context.Context, digest hashing.Digest) ([]byte, error)
}

// Options says what to export and where it comes from. All fields without
// "optional" must be set.
type Options struct {
	// Cases are the Cases shown, and of each the Captures that become exhibits.
	Cases []Selection

	Captures  Captures
	CaseFacts Cases
	Parts     Parts
	Logs      Logs
	Signer    Signer

	// Node is the name of the node whose key Signer holds.
	Node string

	// Policy is the exporting node's own: it names the nodes whose entries
	// travel along, and says which tokens count.
	Policy *holdfast.Policy

	// Certificates are the roots and intermediates that the node knows.
	Certificates []*x509.Certificate

	Agent    holdfast.Agent
	Software holdfast.Software

	// Exported is the time that the statement gives, by the node's clock.
	Exported holdfast.Time

	// Training marks every file that people see as a rehearsal.
	Training bool

	// Restricted shows restricted Objects too (cookies, disclosures, secrets).
	// A slice's secret goes only where its whole Object goes.
	Restricted bool

	// Withhold, optional, is asked for each Object that would be shown; a
	// reason other than "" withholds it, and is written into the statement.
	Withhold func(m *holdfast.Manifest, o holdfast.Object) (reason string)

	// Erased, optional, is asked for every Object: the reason of one that was erased by
	// order ([holdfast.ErasedReason]), "" for all others.
	Erased func(m *holdfast.Manifest, o holdfast.Object) (reason string)

	// Slices, optional, are shown alone: every other Object of their Captures is
	// withheld, whatever else is asked for.
	Slices []SliceRef

	// Only, optional, says the same for one Capture at a time, in the place of
	// Slices: alone says that nothing of it is shown but refs. It is asked more
	// than once for a Capture and must answer the same each time.
	Only func(ctx context.Context, m *holdfast.Manifest) (refs []SliceRef, alone bool, err error)

	// Languages, optional, are BCP 47 tags for the page, the first that is
	// there is taken; English otherwise.
	Languages []string

	// Part, optional, says that this Bundle is one of several of one export.
	Part *Part

	// Why, optional, is what the custody lines of this export say: they stand in
	// the Bundle, so Split needs to know how long they are.
	Why string

	// MaxBytes, if not 0, is the size that the Bundle must not exceed: a larger
	// one is [ErrSize].
	MaxBytes int64

	// Replace lets WriteFile take the place of a file that exists.
	Replace bool

	// Progress, optional, is told after each entry how much was written.
	Progress func(entries int, bytes int64)

	Log *slog.Logger // optional

	// Limits that only tests set: [holdfast.MaxExport] and [surveyFrom].
	maxExport  int64
	surveyFrom int
}

// Selection is what of a Case is shown, in the order wanted.
type Selection struct {
	Case     holdfast.ID
	Captures []holdfast.ID
}

// Part is the place of a Bundle among those of one export. It stands in files
// that no signature covers, for people: each Bundle is whole by itself.
type Part struct {
	Number, Of int    // from 1
	Group      string // the same for all of them, one line; "" for none
}

// SliceRef names a slice of an Object of a Capture; without a Slice the whole
// Object, of which the caller knows that it holds nothing that the slices leave
// out.
type SliceRef struct {
	Capture holdfast.ID
	Object  string
	Slice   string
}

// State is how far a Capture has come by the exporter's own Policy.
type State string

// States of a Capture.
const (
	Pending State = "pending" // no Seal
	Signed  State = "signed"  // a Seal without the quorum of timestamps
	Sealed  State = "sealed"
)

// Summary says what a Bundle holds. It is no verdict: that is for Verify, with
// the reader's own Policy.
type Summary struct {
	Exhibits []ExhibitSummary
	Entries  int
	Bytes    int64
	Withheld int
	// Statement is the Digest of data/export.dsse.json, which lists every other
	// file under data/.
	Statement hashing.Digest
	Notes     []string // what could not be had, such as a consistency proof
}

// ExhibitSummary says which number a Capture has and how far it has come.
type ExhibitSummary struct {
	Capture holdfast.ID
	Number  string
	Seal    string
	State   State
}

// Target takes the bytes of a Bundle; an empty *os.File is one. Only whole
// headers that lie behind the end are written twice, to set their checksum.
type Target interface {
	io.WriterAt
}
