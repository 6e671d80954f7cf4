// Package wrappers puts the wrappers of drivers that others make, otelsql and sqlmw, around
// failoverproxy, and wraps pools that were made through them. It is a module of its own, so
// that they are nobody's dependency.
package wrappers
