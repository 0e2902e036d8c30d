package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"holdfast/pipeline"
)

// transient reports whether asking again may help: a broker is gone, is starting,
// is no longer the leader, or too few have the message; or this machine's clock is wrong,
// and is set. What is not known is not transient, so that it is said at once.
func transient(err error) bool {
	var k kgo.Error
	var bad *tls.CertificateVerificationError
	var n net.Error
	switch {
	case errors.As(err, &bad):
		return false
	case errors.As(err, &k):
		return k == kgo.Unknown || k == kgo.BrokerNotAvailable || k == kgo.InvalidTimestamp || k != kgo.InvalidMessage && k.Temporary()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, protocol.ErrNoLeader), errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return true
	}
	return errors.As(err, &n)
}

// lost reports whether a commit was refused because somebody else has the stage, or
// is about to get it.
func lost(err error) bool {
	return errors.Is(err, kgo.IllegalGeneration) || errors.Is(err, kgo.UnknownMemberId) || errors.Is(err, kgo.RebalanceInProgress) ||
		errors.Is(err, kgo.FencedInstanceID)
}

// try calls f again while its error is transient, for as long as o.Patience. Its
// last error then wraps pipeline.ErrUnavailable.
func (q *Queue) try(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(q.open, func() { cancel(errClosed) })()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: time.Second, RandomizationFactor: 0.3}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := f(limited)
		switch {
		case err == nil:
			return struct{}{}, nil
		case over(ctx):
			return struct{}{}, backoff.Permanent(context.Cause(ctx))
		case !transient(err):
			return struct{}{}, backoff.Permanent(err)
		}
		q.troubled(ctx, err)
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(q.o.Patience))
	switch {
	case err == nil:
		q.well()
		return nil
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case transient(err):
		return fmt.Errorf("%w: %s: %w", pipeline.ErrUnavailable, lacks(err), err)
	}
	return err
}

// lacks says what a queue that cannot do it now lacks, for who has to see to it: by
// itself Kafka says no more than that a time is over, or a connection refused.
func lacks(err error) string {
	switch {
	case errors.Is(err, kgo.NotEnoughReplicas), errors.Is(err, kgo.NotEnoughReplicasAfterAppend), errors.Is(err, kgo.RequestTimedOut):
		return "too few brokers are up to have what is written, bring back those that are down"
	case errors.Is(err, protocol.ErrNoLeader), errors.Is(err, kgo.LeaderNotAvailable), errors.Is(err, kgo.BrokerNotAvailable):
		return "too few brokers are up for a partition to have a leader, bring back those that are down"
	case errors.Is(err, kgo.InvalidTimestamp): // Kafka 4: dated more than an hour ahead
		return "the clocks of this machine and of the brokers are too far apart, set them"
	}
	return "a broker that is needed does not answer, bring back those that are down"
}

// over reports whether ctx has ended, or is about to: connections end with it, and
// may do so a moment before.
func over(ctx context.Context) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < 5*time.Millisecond {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// troubled tells once that brokers do not answer as they should; well ends it.
func (q *Queue) troubled(ctx context.Context, err error) {
	q.mu.Lock()
	first := q.trouble == nil
	q.trouble = err
	q.mu.Unlock()
	if first {
		q.o.Log.WarnContext(ctx, "kafka cannot do it now; it is tried again", "err", err)
	}
}

func (q *Queue) well() {
	q.mu.Lock()
	was := q.trouble != nil
	q.trouble = nil
	q.mu.Unlock()
	if was {
		q.o.Log.Info("kafka answers again")
	}
}

// explain adds what to do to what a broker says of who asks, and how.
func explain(err error, o Options) error {
	var bad *tls.CertificateVerificationError
	switch {
	case errors.Is(err, kgo.SASLAuthenticationFailed):
		return fmt.Errorf("the brokers refuse user %q with this password: give the right ones: %w", o.User, err)
	case errors.Is(err, kgo.IllegalSASLState), errors.Is(err, kgo.UnsupportedSASLMechanism):
		return fmt.Errorf("the brokers take no user here, or not by SCRAM-SHA-512: give none, or the address where they ask for one: %w", err)
	case errors.Is(err, kgo.TopicAuthorizationFailed), errors.Is(err, kgo.GroupAuthorizationFailed), errors.Is(err, kgo.ClusterAuthorizationFailed):
		return fmt.Errorf("user %q may not do this: it needs to read, write, describe and delete records of the topics %s.*, describe their settings, and read and describe the groups %s.*: %w", o.User, o.Prefix, o.Prefix, err)
	case errors.As(err, &bad):
		return fmt.Errorf("the brokers' certificate is not one to trust here: name the authority that issued it: %w", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the brokers at %v close the connection; they do so where TLS or a user is wanted and not given, or given and not wanted: %w", o.Brokers, err)
	case errors.Is(err, pipeline.ErrUnavailable), transient(err):
		return fmt.Errorf("no broker of %v answers as it should: %w", o.Brokers, err)
	}
	return err
}
