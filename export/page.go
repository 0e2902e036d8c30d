package export

import "context"

func (w *writer) page(ctx context.Context) error { return w.zip.add(pathReadMe, []byte("x")) }
