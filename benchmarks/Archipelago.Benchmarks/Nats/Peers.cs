using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Archipelago.Benchmarks.Nats;

/// <summary>The other ends of the measurements, each a process of its own so that its work is not counted: run by <see cref="NatsProbe"/> alone.</summary>
internal static class Peers
{
    private const string Greeting = "INFO {\"server_id\":\"stand-in\",\"max_payload\":1048576,\"headers\":true}\r\n";

    public static Command Create() => new("nats-peer", "The other end of a measurement; started by the probe.")
    {
        Hidden = true,
        Subcommands = { Child("stand-in", ServeAsStandIn), Child("publisher", PublishForEver), Child("responder", Respond) },
    };

    /// <summary>Starts one of them and waits until it says that it is there.</summary>
    public static Process Start(string kind, int port)
    {
        var start = new ProcessStartInfo("dotnet", $"\"{typeof(Peers).Assembly.Location}\" nats-peer {kind} {port.ToString(CultureInfo.InvariantCulture)}") { RedirectStandardOutput = true };
        Process process = Process.Start(start)!;
        process.StandardOutput.ReadLine();
        return process;
    }

    public static Process StartServer(int port)
    {
        Process process = Process.Start(new ProcessStartInfo("nats-server", $"-a 127.0.0.1 -p {port.ToString(CultureInfo.InvariantCulture)} -l /dev/null"))!;
        while (true)
        {
            try
            {
                RawSocket.Connect(port).Dispose();
                return process;
            }
            catch (SocketException) when (!process.HasExited)
            {
                Thread.Yield();
            }
        }
    }

    private static Command Child(string name, Action<int> run)
    {
        var port = new Argument<int>("port");
        var command = new Command(name) { port };
        command.SetAction(parsed =>
        {
            try
            {
                run(parsed.GetValue(port));
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // The other side has had enough.
            }
        });
        return command;
    }

    /// <summary>A server that takes everything and, to who subscribes, sends the prepared messages without end.</summary>
    private static void ServeAsStandIn(int port)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        Console.WriteLine("ready");
        while (true)
        {
            Socket client = listener.AcceptSocket();
            client.NoDelay = true;
            new Thread(() => Serve(client)) { IsBackground = true }.Start();
        }
    }

    private static void Serve(Socket client)
    {
        try
        {
            client.Send(Encoding.ASCII.GetBytes(Greeting));
            byte[] buffer = new byte[1 << 18];
            while (true)
            {
                int read = client.Receive(buffer);
                if (read == 0)
                    return;
                ReadOnlySpan<byte> heard = buffer.AsSpan(0, read);
                if (heard.EndsWith("PING\r\n"u8))
                    client.Send("PONG\r\n"u8);
                int subscribed = heard.IndexOf("SUB "u8);
                if (subscribed < 0 || heard[0] == 'P')
                    continue;
                string id = Encoding.ASCII.GetString(heard[subscribed..]).Split("\r\n")[0].Split(' ')[^1];
                byte[] messages = Heartbeats.AsDelivered(id);
                while (true)
                    Send(client, messages);
            }
        }
        catch (SocketException)
        {
            // The client went.
        }
    }

    private static void Send(Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
            bytes = bytes[socket.Send(bytes)..];
    }

    private static void PublishForEver(int port)
    {
        using RawSocket raw = RawSocket.Connect(port);
        Console.WriteLine("ready");
        byte[] messages = Heartbeats.AsPublished();
        while (true)
            raw.Send(messages);
    }

    private static void Respond(int port)
    {
        using RawSocket raw = RawSocket.Connect(port);
        raw.Send("SUB ask 1\r\n");
        raw.Flush();
        Console.WriteLine("ready");
        while (true)
        {
            int length = raw.ReadUntil("\r\n"u8);
            string line = Encoding.ASCII.GetString(raw.Received(length)).Split("\r\n")[0];
            if (line == "PING")
                raw.Send("PONG\r\n");
            else if (line.StartsWith("MSG", StringComparison.Ordinal))
                raw.Send($"PUB {line.Split(' ')[3]} 2\r\nok\r\n");
        }
    }
}
