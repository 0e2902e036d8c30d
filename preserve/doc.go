// Package preserve turns a batch of Manifests into a Seal: one signature, one
// log entry, and the timestamps of a quorum of independent operators.
//
// # The way of a batch
//
// [Sealer.Plan] fixes what the batch is; [Sealer.Carry] carries it out. Both may
// be called again at any time, by any process: every step first looks what is
// there already, so a recovery is the same code as the first try.
//
//	seals/<id>/plan.json              what is in the batch; the first one created is the plan
//	cases/<case>/packs/<id>.zip       small Objects and Manifests, the same bytes whoever writes them
//	seals/<id>/notbefore.tst          a token that is older than the signature
//	seals/<id>/statement.dsse.json    the signature; the first one created is the Statement
//	tlog/<origin>/tile/…, checkpoint/<size>
//	seals/<id>/checkpoint/…, inclusion/…
//	seals/<id>/timestamps/<authority>/<digest>.tst
//
// The argument why a crash between any two of these loses nothing stands above
// the code, in seal.go.
//
// # States
//
// A capture is `pending` until its Seal has signature and inclusion, `signed`
// until the quorum's timestamps are there too, then `sealed`. A state is never
// remembered, always judged ([Judge]) from the stored parts under the node's own
// Policy, by the code that a court runs ([holdfast.CheckSeal]).
//
// # Who does what
//
// [Tlog] is the node's transparency log, [Mirror] its copy in the store.
// [Quorum] asks the authorities and keeps their tokens. [Trust] holds the node's
// own Policy and pins to it what an authority first showed. [Reconciler] adds
// tokens to signed Seals later; it needs no key.
package preserve
