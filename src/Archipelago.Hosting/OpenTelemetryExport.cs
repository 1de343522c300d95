using System.Diagnostics;
using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Archipelago.Hosting;

/// <summary>Sends the metrics and traces of one host, and of no other of the process, to an OpenTelemetry collector, until it is disposed.</summary>
internal sealed class OpenTelemetryExport : IDisposable
{
    /// <summary>A collector that cannot be reached must not keep the host from stopping.</summary>
    private const int MostMillisecondsAtTheEnd = 5000;

    private readonly MeterProvider metrics;
    private readonly TracerProvider traces;

    /// <param name="context">The host.</param>
    /// <param name="endpoint">The collector's URL.</param>
    /// <param name="protocol">How the collector is spoken to.</param>
    /// <param name="meters">The host's own meters.</param>
    /// <param name="activities">The host's own activities.</param>
    public OpenTelemetryExport(HostContext context, string endpoint, OtlpExportProtocol protocol, IMeterFactory meters, ActivitySource activities)
    {
        ResourceBuilder resource = ResourceBuilder.CreateDefault().AddService(activities.Name.Replace('.', '-'), serviceVersion: context.Build.Version);
        // Meters of several hosts have the same names; whose they are tells the factory.
        metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter("archipelago.*")
            .AddView(instrument => ReferenceEquals(instrument.Meter.Scope, meters) ? null : MetricStreamConfiguration.Drop)
            .AddOtlpExporter(options => Point(options, endpoint, protocol, "metrics")).Build();
        traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(activities.Name)
            .AddOtlpExporter(options => Point(options, endpoint, protocol, "traces")).Build();
    }

    /// <summary>The protocol of the configuration; a fault for one that is not spoken.</summary>
    public static OtlpExportProtocol Protocol(Settings settings)
    {
        string name = settings.Text("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        if (name is not ("grpc" or "http/protobuf"))
            settings.AddFault($"OTEL_EXPORTER_OTLP_PROTOCOL is \"{name}\"; it must be grpc or http/protobuf.");
        return name == "grpc" ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
    }

    public void Dispose()
    {
        Parallel.Invoke(() => metrics.Shutdown(MostMillisecondsAtTheEnd), () => traces.Shutdown(MostMillisecondsAtTheEnd));
        metrics.Dispose();
        traces.Dispose();
    }

    private static void Point(OtlpExporterOptions options, string endpoint, OtlpExportProtocol protocol, string signal)
    {
        options.Protocol = protocol;
        options.TimeoutMilliseconds = MostMillisecondsAtTheEnd;
        // Over gRPC the collector's address is enough; over HTTP each kind has a path, which the library adds only to what it reads itself.
        options.Endpoint = new Uri(protocol == OtlpExportProtocol.HttpProtobuf ? $"{endpoint}/v1/{signal}" : endpoint);
    }
}
