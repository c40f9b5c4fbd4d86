// Package merge adds up what the workers of an application count, each in its own registry, to one set of series.
//
// Invariant: what a counter, a histogram or a summary shows never falls, whichever workers come, go, are killed or start to
// count anew, in any order. It is the sum of the increases between the copies that arrived, so a worker that leaves takes
// nothing away. Only a metric that all workers have given another type begins again.
//
// The package holds both ends of the format in which a copy travels: see Copy.
package merge
