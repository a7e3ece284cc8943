//go:build !race

package router

const race = false
