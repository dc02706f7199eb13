package memory

import (
	"cmp"
	"iter"
	"slices"
)

// A journal lists things by number, lowest first. Numbers are added in
// rising order, so that a list is all it takes.
type journal[T any] struct {
	lines []numbered[T]
	gone  int // lines that were removed, and still take room
}

type numbered[T any] struct {
	seq   int64
	value T
	gone  bool
}

func (j *journal[T]) add(seq int64, value T) {
	j.lines = append(j.lines, numbered[T]{seq: seq, value: value})
}

// insert is add for a number that may be lower than others in the list.
func (j *journal[T]) insert(seq int64, value T) {
	j.lines = slices.Insert(j.lines, j.find(seq+1), numbered[T]{seq: seq, value: value})
}

// remove forgets what has the number seq.
func (j *journal[T]) remove(seq int64) {
	j.lines[j.find(seq)] = numbered[T]{seq: seq, gone: true}
	j.gone++
	if j.gone > len(j.lines)/2 {
		j.lines = slices.DeleteFunc(j.lines, func(l numbered[T]) bool { return l.gone })
		j.gone = 0
	}
}

// find returns the index of the first line numbered seq or above.
func (j *journal[T]) find(seq int64) int {
	i, _ := slices.BinarySearchFunc(j.lines, numbered[T]{seq: seq}, byNumber)
	return i
}

func byNumber[T any](a, b numbered[T]) int { return cmp.Compare(a.seq, b.seq) }

// after yields what has a number above seq, lowest first.
func (j *journal[T]) after(seq int64) iter.Seq2[int64, T] {
	return func(yield func(int64, T) bool) {
		for _, l := range j.lines[j.find(seq+1):] {
			if !l.gone && !yield(l.seq, l.value) {
				return
			}
		}
	}
}

// before yields what has a number below seq, highest first.
func (j *journal[T]) before(seq int64) iter.Seq2[int64, T] {
	return func(yield func(int64, T) bool) {
		for _, l := range slices.Backward(j.lines[:j.find(seq)]) {
			if !l.gone && !yield(l.seq, l.value) {
				return
			}
		}
	}
}
