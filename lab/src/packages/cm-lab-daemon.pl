#!/usr/bin/perl
# A small daemon to manage: it answers HTTP requests with its version and its library's.
# perl-base is in every Debian system, so this needs nothing else.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

my $version = '@VERSION@';
my $config  = '/etc/cm-lab-daemon.conf';
$0 = 'cm-lab-daemon';
$| = 1;

sub read_config {
    my %values = (port => 8642, listen => '0.0.0.0', greeting => 'hello');
    open my $in, '<', $config or die "cannot read $config: $!\n";
    while (my $line = <$in>) {
        next if $line =~ /^\s*(?:#|$)/;
        $line =~ /^\s*(\w+)\s*=\s*(.*?)\s*$/ or die "$config:$.: not a `key = value` line\n";
        exists $values{$1} or die "$config:$.: unknown key `$1`\n";
        $values{$1} = $2;
    }
    return \%values;
}

sub library_version {
    open my $in, '<', '/usr/share/cm-lab-lib/version' or return 'missing';
    chomp(my $line = <$in>);
    return $line;
}

my $settings = read_config();
my $library  = library_version();
# A new greeting is taken over on reload; a bad file is refused and the old settings stay.
$SIG{HUP} = sub { my $new = eval { read_config() }; $new ? ($settings = $new) : warn $@; };
$SIG{TERM} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';

my $server = IO::Socket::INET->new(
    LocalAddr => $settings->{listen}, LocalPort => $settings->{port}, Listen => 64, ReuseAddr => 1,
) or die "cannot listen on $settings->{listen}:$settings->{port}: $!\n";

if (my $path = $ENV{NOTIFY_SOCKET}) {
    $path =~ s/^@/\0/;
    my $notify = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $path);
    $notify->send('READY=1') if $notify;
}
print "cm-lab-daemon $version listens on port $settings->{port}\n";

while (1) {
    my $client = $server->accept() or next;
    # A client that sends nothing must not hold up the others for long.
    my $request = eval {
        local $SIG{ALRM} = sub { die "slow\n" };
        alarm 5;
        my $line = <$client>;
        while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
        alarm 0;
        $line;
    };
    alarm 0;
    next unless defined $request;
    my ($status, $body) = ('200 OK', "$settings->{greeting} from cm-lab-daemon $version (cm-lab-lib $library)\n");
    # What makes 3.0 an update to take back: it runs, and works for nobody.
    ($status, $body) = ('503 Service Unavailable', "cm-lab-daemon $version is broken\n") if $version eq '3.0';
    print $client "HTTP/1.0 $status\r\nContent-Type: text/plain\r\nContent-Length: " . length($body)
        . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
