package export

// Limit lowers what one Bundle may hold, for tests.
func (o *Options) Limit(maxExport int64, surveyFrom int) {
	o.maxExport, o.surveyFrom = maxExport, surveyFrom
}
