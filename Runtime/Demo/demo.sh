# The application of "holdfast demo": a producer, a pool of four workers that fork tools for every number, and a collector that puts
# what comes back out of order into order and keeps a running total. Each line is: number, the first digits of its SHA-256, total.
produce() {
	local i=0
	while :; do
		i=$((i + 1))
		echo "$i"
		((i % 40)) || sleep 0.02
	done
}

collect() {
	local -A waiting
	local number hash next=1 total=0
	while read -r number hash; do
		waiting[$number]=$hash
		while [[ -n ${waiting[$next]} ]]; do
			total=$((total + next))
			echo "$next ${waiting[$next]} $total"
			unset "waiting[$next]"
			next=$((next + 1))
		done
	done
}

produce | xargs -P 4 -n 8 sh -c '
	for number; do
		printf "%s %s\n" "$number" "$(printf %s "$number" | sha256sum | cut -c 1-16)"
	done' worker | sed -u 's/ *$//' | collect
