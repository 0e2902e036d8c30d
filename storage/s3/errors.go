package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/minio/minio-go/v7"

	"holdfast/hashing"
	"holdfast/storage"
)

// explain adds the sentinel and the hint that an answer of the server calls for.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return fmt.Errorf("%w (give the certificate of the server's authority in SSL_CERT_FILE)", err)
		}
		return err
	}
	switch r.Code {
	case minio.NoSuchKey, minio.NoSuchVersion:
		return fmt.Errorf("%s: %w", r.Code, fs.ErrNotExist)
	case minio.PreconditionFailed:
		return fmt.Errorf("%s: %w", r.Code, storage.ErrExists)
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "InsufficientCapacity":
		return full(r)
	case "XMinioObjectExistsAsDirectory", "XMinioParentIsObject", "ObjectParentIsFile", "ExistingObjectIsDirectory":
		return fmt.Errorf("%s: a name cannot be the folder of another: %w", r.Code, storage.ErrName)
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return fmt.Errorf("%s: the server got other bytes than were sent (the line or a proxy changed them): %w", r.Code, hashing.ErrMismatch)
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "ExpiredToken":
		return fmt.Errorf("%s: %s (check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, what the bucket's policy allows them, and that this machine's clock is right)", r.Code, r.Message)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("%s: %s (set this machine's clock, or the server's)", r.Code, r.Message)
	case minio.NoSuchBucket:
		return fmt.Errorf("%s: there is no bucket %q (make it with object lock, for instance: mc mb --with-lock ALIAS/%s)", r.Code, r.BucketName, r.BucketName)
	}
	if r.StatusCode == http.StatusInsufficientStorage {
		return full(r)
	}
	return fmt.Errorf("%s (%d): %w", r.Code, r.StatusCode, err)
}

func full(r minio.ErrorResponse) error {
	return fmt.Errorf("%s: %s (add disks to the object store or raise the bucket's quota): %w", r.Code, r.Message, storage.ErrFull)
}

// transient reports whether the same request may succeed a moment later: nothing
// was answered, or the server said that it is its own trouble. Bytes that were
// changed on the way are sent again too.
func transient(err error) bool {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		var unknown x509.UnknownAuthorityError
		return !errors.As(err, &unknown) && !errors.Is(err, errLocal)
	}
	switch r.Code {
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody",
		"OperationAborted", "ConditionalRequestConflict", "SlowDown", "SlowDownWrite", "SlowDownRead":
		return true
	case "XMinioStorageFull":
		return false
	}
	return r.StatusCode == http.StatusRequestTimeout || r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented && r.StatusCode != http.StatusInsufficientStorage
}

// errLocal marks what failed on this side, so that it is not sent again.
var errLocal = errors.New("before it was sent")

// missing reports whether an answer says that nothing lies under a key.
func missing(err error) bool {
	c := minio.ToErrorResponse(err).Code
	return c == minio.NoSuchKey || c == minio.NoSuchVersion
}

func foreign(name, why string) error {
	return fmt.Errorf("check %q: %s: %w", name, why, storage.ErrForeign)
}
