package s3_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/deploy/engines"
	"holdfast/storage"
	"holdfast/storage/s3"
)

// nodesPolicy is what docs/scale.md says that the keys of a node need, and no more.
const nodesPolicy = `{"Version":"2012-10-17","Statement":[
{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion","s3:PutObject","s3:GetObjectRetention","s3:PutObjectRetention","s3:GetObjectLegalHold","s3:PutObjectLegalHold","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],"Resource":["arn:aws:s3:::BUCKET/*"]},
{"Effect":"Allow","Action":["s3:ListBucket","s3:ListBucketVersions","s3:GetBucketVersioning","s3:GetBucketObjectLockConfiguration","s3:GetLifecycleConfiguration","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::BUCKET"]}]}`

// TestLeastKeys: a node works with keys that may not delete, and with them nothing is
// hidden or removed.
func TestLeastKeys(t *testing.T) {
	server := engines.MinIO(t)
	p := newPlace(t, server, true)
	sts, err := credentials.NewSTSAssumeRole(server.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, Location: server.Region, DurationSeconds: 3600,
		Policy: strings.ReplaceAll(nodesPolicy, "BUCKET", p.bucket),
	})
	must(t, err)
	v, err := sts.Get()
	must(t, err)
	o := p.options(t)
	o.AccessKey, o.SecretKey, o.SessionToken = v.AccessKeyID, v.SecretAccessKey, v.SessionToken
	s := open(t, o)
	writeEach(t, s, "x")
	d, _, err := s.Put(t.Context(), bytes.NewReader(noise(11<<20)))
	must(t, err)
	k := storage.Key{Digest: d}
	must(t, s.SetHold(t.Context(), k, true))
	must(t, s.SetHold(t.Context(), k, false))
	must(t, s.Extend(t.Context(), k, time.Now().Add(time.Hour)))
	must(t, s.Probe(t.Context()))
	if p, err := (&s3.Extender{Store: s}).Pass(t.Context()); err != nil || p.Lost > 0 {
		t.Errorf("a pass: %+v, %v", p, err)
	}
	for f, err := range s.Faults(t.Context()) {
		t.Errorf("fault %+v, %v", f, err)
	}
	checkAll(t, s, p)

	weak, err := minio.New(strings.TrimPrefix(server.Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(v.AccessKeyID, v.SecretAccessKey, v.SessionToken), Region: server.Region})
	must(t, err)
	if err := weak.RemoveObject(t.Context(), p.bucket, p.key("create/x"), minio.RemoveObjectOptions{}); err == nil {
		t.Error("a name was hidden")
	}
	loose := o
	loose.Unlocked = true
	l := open(t, loose)
	must(t, l.Create(t.Context(), "bare", strings.NewReader("x")))
	if err := l.Erase(t.Context(), storage.Key{Name: "bare"}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("erased: %v", err)
	}
}
