package holdfast_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"holdfast"
	"holdfast/rfc3161"
)

// TestSigstoreSaysNothingElse: our format leaves no member of seal.sigstore.json
// to whoever writes it. Each that another verifier reads is changed alone, by the
// office itself, and contradicted.
func TestSigstoreSaysNothingElse(t *testing.T) {
	c := newCast(t)
	name := "data/seals/" + c.two + "/seal.sigstore.json"
	good := string(open(t, c.bundles["world"]).get(name))
	var s holdfast.SigstoreSeal
	if err := json.Unmarshal([]byte(good), &s); err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	entry, tokens := s.Material.Entries[0], s.Material.Timestamps.RFC3161
	body := func(old, now string) [2]string {
		if !bytes.Contains(entry.Body, []byte(old)) {
			t.Fatal(old)
		}
		return [2]string{b64(entry.Body), b64(bytes.Replace(entry.Body, []byte(old), []byte(now), 1))}
	}
	first := must(rfc3161.UnwrapResponse(tokens[0].Response))
	status := func(granted string) []byte { // a reply of another status, or with words, around the same token
		return sequence(append(sequence([]byte(granted)), first...))
	}
	root, other := b64(entry.Proof.RootHash[:]), b64(make([]byte, 32))
	changes := map[string][2]string{
		"media type":             {"bundle.v0.3+json", "bundle.v0.2+json"},
		"media type of one kind": {"bundle.v0.3+json", "bundle+json;version=0.3"},
		"key hint":               {s.Material.PublicKey.Hint, strings.Repeat("0", 64)},
		"a certificate":          {`"publicKey":{`, `"certificate":{"rawBytes":"MAA="},"publicKey":{`},
		"hash algorithm":         body("SHA2_256", "SHA2_512"),
		"key details":            body("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_256"),
		"kind in the body":       body("hashedrekord", "dsse"),
		"kind":                   {`"kind":"hashedrekord"`, `"kind":"dsse"`},
		"version of kind":        {`"version":"0.0.2"`, `"version":"0.0.1"`},
		"log id":                 {b64(entry.LogID.KeyID), other},
		"log index":              {`},"logIndex":"` + entry.LogIndex, `},"logIndex":"9`},
		"proof index":            {`],"logIndex":"` + entry.LogIndex, `],"logIndex":"9`},
		"proof root":             {`"rootHash":"` + root, `"rootHash":"` + other},
		"proof size":             {`"treeSize":"`, `"treeSize":"1`},
		"integrated time":        {`"kindVersion"`, `"integratedTime":"1","kindVersion"`},
		"inclusion promise":      {`"inclusionProof"`, `"inclusionPromise":{"signedEntryTimestamp":"MAA="},"inclusionProof"`},
		"another checkpoint":     {`\n\n`, `\nmore\n\n`},
		"no entries":             {good[strings.Index(good, `"tlogEntries":[`):], `"tlogEntries":[]}}`},
		"entry twice":            {`"tlogEntries":[{`, `"tlogEntries":[{},{`},
		"message signature":      {`"mediaType"`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":""}},"mediaType"`},
		"payload type":           {"application/vnd.in-toto+json", "application/vnd.in-toto+jsom"},
		"payload":                {`"payload":"`, `"payload":"AAAA`},
		"signature's key id":     {`"signatures":[{"sig"`, `"signatures":[{"keyid":"x","sig"`},
		"two signatures":         {`"signatures":[{`, `"signatures":[{"sig":"MAA="},{`},
		"granted with changes":   {b64(tokens[0].Response), b64(status("\x02\x01\x01"))},
		"rejected":               {b64(tokens[0].Response), b64(status("\x02\x01\x02"))},
		"words with the status":  {b64(tokens[0].Response), b64(status("\x02\x01\x00\x30\x04\x0c\x02no"))},
		"token twice":            {`{"signedTimestamp"`, `{"signedTimestamp":"` + b64(tokens[0].Response) + `"},{"signedTimestamp"`},
		"token of nobody":        {b64(tokens[0].Response), b64(rfc3161.WrapResponse([]byte("\x30\x00")))},
		"timestamps elsewhere":   {`"timestampVerificationData"`, `"timestampVerificationdata"`},
		"a space":                {`{"dsseEnvelope"`, `{ "dsseEnvelope"`},
		"a member twice":         {`"mediaType"`, `"mediaType":"x","mediaType"`},
		"a newline at the end":   {`}]}}`, "}]}}\n"},
	}
	for what, ch := range changes {
		if !strings.Contains(good, ch[0]) {
			t.Errorf("%s: %.60q is not in it", what, ch[0])
			continue
		}
		b := open(t, c.bundles["world"])
		b.put(name, []byte(strings.Replace(good, ch[0], ch[1], 1)))
		r, err := judge(t, c.finish(b, c.w.key, nil), c.policy["world"])
		if !contradicts(r, "seal-parts") {
			t.Errorf("%s: %v %s", what, err, sum(r))
		}
	}
}

func sequence(in []byte) []byte {
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: in}))
}

// TestSharedKey: a key may be of two nodes (a log that follows another, a key in
// a KMS). A Seal is of the node that it names and of no other, and a key that
// ended under one of them is nobody's proof under the other.
func TestSharedKey(t *testing.T) {
	c := newCast(t)
	twoNodes := func(change func(p *holdfast.Policy, other *holdfast.PolicyNode)) *holdfast.Policy {
		p := clonePolicy(c.policy["world"])
		w := newWorld(t, c.w.now, c.tsas...)
		other := w.node
		other.Keys = []holdfast.PolicyKey{{SPKI: c.w.SPKI(), From: c.w.node.Keys[0].From}}
		change(p, &other)
		p.Nodes = append(p.Nodes, other)
		return clonePolicy(p)
	}
	before := holdfast.At(c.w.now)
	for name, x := range map[string]struct {
		change  func(p *holdfast.Policy, other *holdfast.PolicyNode)
		verdict holdfast.Verdict
		finding string
	}{
		"both have it":          {func(*holdfast.Policy, *holdfast.PolicyNode) {}, holdfast.VerdictProven, ""},
		"only the other has it": {func(p *holdfast.Policy, _ *holdfast.PolicyNode) { p.Nodes = nil }, holdfast.VerdictUnattributed, "key-unknown"},
		"the named has another": {func(p *holdfast.Policy, _ *holdfast.PolicyNode) {
			p.Nodes[0].Keys = []holdfast.PolicyKey{{SPKI: newWorld(t, c.w.now, c.tsas...).SPKI(), From: before}}
		}, holdfast.VerdictUnattributed, "key-unknown"},
		"ended under the other": {func(_ *holdfast.Policy, o *holdfast.PolicyNode) { o.Keys[0].Until = &before }, holdfast.VerdictUnattributed, "key-period"},
		"ended under the named": {func(p *holdfast.Policy, _ *holdfast.PolicyNode) { p.Nodes[0].Keys[0].Until = &before }, holdfast.VerdictContradicted, "key-period"},
		"not begun in the other": {func(_ *holdfast.Policy, o *holdfast.PolicyNode) {
			o.Keys[0].From = holdfast.At(c.w.now.AddDate(1, 0, 0))
		}, holdfast.VerdictProven, ""},
	} {
		r := must(judge(t, c.bundles["world"], twoNodes(x.change)))
		found := x.finding == ""
		for _, f := range r.Findings {
			found = found || f.Finding == x.finding && f.Outcome != holdfast.OK && strings.HasPrefix(f.Subject, "seal ")
		}
		if r.Verdict != x.verdict || !found || r.Exhibits[0].Node != c.w.node.Name {
			t.Errorf("%s: %s of %s, want %s and %s: %s", name, r.Verdict, r.Exhibits[0].Node, x.verdict, x.finding, sum(r))
		}
	}
}
