// A ring of three hundred goroutines on their small stacks, each adding its share to what passes. Line i of `out`: "i i*i+7*i+1".
//
// It writes and sleeps by system call: this sample is about stacks, threads and signals; pipeline.go is about the
// runtime's poller. With the word "poller" as second argument it uses timers, and collects garbage now and then.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

const count = 300

type parcel struct {
	number, sum int
	ballast     []byte
}

func pass(in <-chan parcel, out chan<- parcel, share int) {
	for p := range in {
		p.sum += deep(share, 3)
		p.ballast = append(p.ballast[:0:0], byte(p.number))
		out <- p
	}
	close(out)
}

func deep(share, depth int) int {
	if depth == 0 {
		return share
	}
	var local [64]int
	local[depth] = deep(share, depth-1)
	return local[depth]
}

func exists(path string) bool {
	var st syscall.Stat_t
	return syscall.Stat(path, &st) == nil
}

func touch(path, text string) {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY, 0644)
	if err != nil {
		panic(err)
	}
	syscall.Write(fd, []byte(text))
	syscall.Close(fd)
}

func main() {
	work := os.Args[1]
	poller := len(os.Args) > 2 && os.Args[2] == "poller"
	fd, err := syscall.Open(work+"/out", syscall.O_CREAT|syscall.O_WRONLY|syscall.O_EXCL, 0644)
	if err != nil {
		panic(err)
	}
	first := make(chan parcel)
	last := first
	for i := 0; i < count; i++ {
		next := make(chan parcel, i%3)
		share := 0
		if i%100 == 0 {
			share = 1
		}
		go pass(last, next, share)
		last = next
	}
	go func() {
		for i := 0; !exists(work + "/go"); i++ {
			first <- parcel{number: i}
			if poller {
				time.Sleep(3 * time.Millisecond)
			} else {
				pause := syscall.Timespec{Nsec: 3000000}
				syscall.Nanosleep(&pause, nil)
			}
		}
		close(first)
	}()
	expected := 0
	for p := range last {
		if p.number != expected || p.sum != 3 || int(p.ballast[0]) != p.number&255 {
			touch(work+"/result", fmt.Sprintf("FAIL: parcel %+v instead of %d\n", p, expected))
			os.Exit(1)
		}
		line := fmt.Sprintf("%d %d\n", expected, expected*expected+7*expected+1)
		if n, err := syscall.Write(fd, []byte(line)); n != len(line) {
			panic(err)
		}
		expected++
		if expected == 20 {
			touch(work+"/ready", "")
		}
		if poller && expected%50 == 0 {
			// The scavenger that follows a collection sleeps on a timer of the runtime.
			runtime.GC()
		}
	}
	syscall.Write(fd, []byte("end\n"))
	touch(work+"/result", "PASS\n")
}
