// Lines that pass through pipes of the operating system and channels, paced by timers, tickers and deadlines: the runtime's poller with its
// epoll set, its wake-up descriptor and its timers. Line i of `out`: "i i*i+7*i+1".
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// Reads lines from one pipe and writes them, doubled in length by what it adds, to the next.
func relay(in *os.File, out *os.File) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fmt.Fprintf(out, "%s+\n", lines.Text())
	}
	out.Close()
}

func pipe() (*os.File, *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	return r, w
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func main() {
	work := os.Args[1]
	out, err := os.OpenFile(work+"/out", os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0644)
	if err != nil {
		panic(err)
	}
	fail := func(format string, arguments ...interface{}) {
		os.WriteFile(work+"/result", []byte(fmt.Sprintf("FAIL: "+format+"\n", arguments...)), 0644)
		os.Exit(1)
	}
	first, source := pipe()
	last := first
	for i := 0; i < 5; i++ {
		r, w := pipe()
		go relay(last, w)
		last = r
	}
	go func() {
		ticker := time.NewTicker(3 * time.Millisecond)
		for i := 0; !exists(work + "/go"); i++ {
			<-ticker.C
			fmt.Fprintf(source, "%d", i)
			// The rest of the line comes later: a reader waits in the middle of it.
			time.Sleep(200 * time.Microsecond)
			fmt.Fprintln(source)
		}
		source.Close()
	}()
	// A pipe that nobody writes to: reading it ends by its deadline, again and again.
	silent, writer := pipe()
	deadlines := make(chan int, 1)
	go func() {
		for n := 0; ; n++ {
			silent.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				fail("read of a silent pipe: %v", err)
			}
			select {
			case <-deadlines:
			default:
			}
			deadlines <- n
		}
	}()
	background, cancel := context.WithCancel(context.Background())
	for i := 0; i < 50; i++ {
		go func(i int) {
			for background.Err() == nil {
				select {
				case <-time.After(time.Duration(1+i) * time.Millisecond):
				case <-background.Done():
				}
			}
		}(i)
	}
	lines := bufio.NewScanner(last)
	expected := 0
	for lines.Scan() {
		if lines.Text() != fmt.Sprintf("%d+++++", expected) {
			fail("line %q instead of %d", lines.Text(), expected)
		}
		fmt.Fprintf(out, "%d %d\n", expected, expected*expected+7*expected+1)
		expected++
		if expected == 20 {
			os.WriteFile(work+"/ready", nil, 0644)
		}
		if expected%50 == 0 {
			runtime.GC()
		}
	}
	cancel()
	before := <-deadlines
	for after := <-deadlines; after <= before; after = <-deadlines {
	}
	runtime.KeepAlive(writer)
	fmt.Fprintln(out, "end")
	out.Close()
	os.WriteFile(work+"/result", []byte("PASS\n"), 0644)
}
