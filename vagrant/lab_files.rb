# The files the virtual lab gives its user, in the form `cm lab up` writes them.

require "fileutils"
require "json"

class LabFiles
  MARK = "# Written by `vagrant up`; do not edit.".freeze

  attr_reader :hosts

  # `subnet` is the first three parts of the hosts' addresses.
  def initialize(count:, subnet:, folder:)
    raise ArgumentError, "CM_HOSTS must be 1 to 200, not #{count}" unless (1..200).cover?(count)

    names = (1..[count - 1, 1].max).map { |number| "web#{number}" }
    names << "db1" if count > 1
    @hosts = names.each_with_index.to_h { |name, slot| [name, "#{subnet}.#{11 + slot}"] }
    @folder = folder
    # With libvirt hosts come up in parallel.
    @alone = Mutex.new
  end

  # Gives a host that is up its users and the lab's key, and takes its public keys. All goes through
  # Vagrant's own connection, so the keys can be trusted.
  def settle(name, connection)
    @alone.synchronize { make_key }
    connection.upload(File.join(@folder, "lab_key.pub"), "/tmp/lab_key.pub")
    connection.upload(File.join(__dir__, "users.sh"), "/tmp/cm-users.sh")
    connection.sudo("sh /tmp/cm-users.sh #{@hosts.to_a.flatten.join(' ')} && rm -f /tmp/cm-users.sh")
    keys = +""
    connection.sudo("cat /etc/ssh/ssh_host_*_key.pub") { |kind, text| keys << text if kind == :stdout }
    @alone.synchronize { add(name, keys) }
  end

  # A host is gone.
  def remove(name)
    @alone.synchronize do
      FileUtils.rm_f(File.join(@folder, "#{name}.keys"))
      write_files if File.directory?(@folder)
    end
  end

  # Hosts in the order of their addresses; groups are names without their number.
  def inventory
    lines = [MARK, "hosts:"]
    lines += @hosts.map { |name, address| "  #{name}: { address: #{address} }" }
    lines << "groups:"
    groups = @hosts.keys.group_by { |name| name.sub(/\d+\z/, "") }.sort
    lines += groups.map { |group, members| "  #{group}: { hosts: [#{members.join(', ')}] }" }
    lines += [
      "defaults:",
      "  ssh:",
      "    user: admin",
      "    key: #{JSON.generate(File.join(@folder, 'lab_key'))}",
      "    known_hosts: #{JSON.generate(File.join(@folder, 'known_hosts'))}",
      "  become: true",
    ]
    "#{lines.join("\n")}\n"
  end

  private

  # A pair for this lab alone, 0600, made once.
  def make_key
    FileUtils.mkdir_p(@folder)
    key = File.join(@folder, "lab_key")
    return if File.exist?(key)

    system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cm-lab", "-f", key) || raise("ssh-keygen failed")
  end

  def add(name, keys)
    lines = keys.lines.map { |line| line.split(" ").first(2).join(" ") }
    write("#{name}.keys", lines.map { |key| "#{name},#{@hosts.fetch(name)} #{key}\n" }.join)
    write_files
  end

  def write_files
    write("inventory.yaml", inventory)
    known = @hosts.keys.map { |name| File.join(@folder, "#{name}.keys") }.select { |path| File.exist?(path) }
    write("known_hosts", "#{MARK}\n#{known.map { |path| File.read(path) }.join}")
  end

  # Each file is replaced as a whole.
  def write(name, content)
    path = File.join(@folder, name)
    beside = "#{path}.#{Process.pid}"
    File.write(beside, content)
    File.rename(beside, path)
  end
end
