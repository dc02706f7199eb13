package hooks

import (
	"cmp"
	"context"
	"iter"
)

// All ranges over every row of a list, page after page:
//
//	for d, err := range hooks.All(ctx, h.Deliveries, q) {
//
// list is a method such as [Hooks.Deliveries] or [Tenant.Endpoints]. q.Limit is the size
// of the pages that are read. If list fails, or ctx ends, the last pair has that error and
// no row. If no pair has an error, every row came. Rows that are written meanwhile may come
// or not; no row comes twice, except for one that was replayed meanwhile.
func All[T any](
	ctx context.Context, list func(context.Context, Query) (page []T, next string, err error), q Query,
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if err := checkContext(ctx); err != nil {
			yield(none, err)
			return
		}
		for q := q; ; {
			page, next, err := list(ctx, q)
			if err = cmp.Or(ctx.Err(), err); err != nil {
				yield(none, err)
				return
			}
			for _, row := range page {
				if ctx.Err() != nil {
					yield(none, ctx.Err())
					return
				}
				if !yield(row, nil) {
					return
				}
			}
			if q.Cursor = next; next == "" {
				return
			}
		}
	}
}
