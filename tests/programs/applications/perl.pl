#!/usr/bin/perl
# A hash that grows, a child behind a pipe, buffers of its own. Line i of `out`: "i i*i+7*i+1".
use strict;
use warnings;
use Fcntl;
use IO::Handle;

my $work = shift;
my %known;
# Never over existing output, so that a new start instead of a restore fails; as in the other samples.
sysopen(my $out, "$work/out", O_WRONLY | O_CREAT | O_EXCL) or die;
$out->autoflush(1);
my $child = open(my $numbers, '-|') // die;

if (!$child) {
	STDOUT->autoflush(1);
	for (my $i = 0; !-e "$work/go"; $i++) {
		print STDOUT "number $i\n";
		select(undef, undef, undef, 0.004);
	}
	exit 0;
}
while (my $line = <$numbers>) {
	my ($i) = $line =~ /^number (\d+)$/ or die "read $line";
	$known{$i} = $i * $i + 7 * $i + 1;
	print $out join(' ', $i, $known{$i}), "\n";
	if ($i == 20) {
		open(my $ready, '>', "$work/ready") or die;
	}
}
close($numbers) or die "the child ended with $?";
print $out "end\n";
my @wrong = grep { $known{$_} != $_ * $_ + 7 * $_ + 1 } keys %known;
open(my $result, '>', "$work/result") or die;
print $result @wrong ? "FAIL: @wrong\n" : "PASS\n";
