// Package s3 is the store of an office that outgrew one disk: a bucket of any server
// that speaks Amazon's S3 with object lock, versions and If-None-Match.
package s3
