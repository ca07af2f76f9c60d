// server PORT: counts for each key, with goroutines that make garbage meanwhile.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	content := make([]byte, 20000)
	for i := range content {
		content[i] = byte(i * i % 251)
	}
	var lock sync.Mutex
	counts := map[string]int{}
	http.HandleFunc("/content", func(w http.ResponseWriter, r *http.Request) { w.Write(content) })
	http.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		key := r.URL.Query().Get("key")
		n := counts[key]
		counts[key]++
		lock.Unlock()
		fmt.Fprint(w, n)
	})
	for g := 0; g < 50; g++ {
		go func(g int) {
			kept := map[int][]byte{}
			for i := 0; ; i++ {
				kept[i%100] = make([]byte, 100+i%1000)
				time.Sleep(time.Duration(1+g) * time.Millisecond)
			}
		}(g)
	}
	go func() {
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		os.Exit(0)
	}()
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
