using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Archipelago.Hosting;

/// <summary>Sends the metrics and traces of a host to an OpenTelemetry collector.</summary>
internal static class OpenTelemetryExport
{
    /// <summary>Begins; disposing what it returns sends the last of it and ends.</summary>
    /// <param name="context">The host.</param>
    /// <param name="endpoint">The collector's URL, as <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> gives it; the other variables of that family are read by the library.</param>
    /// <param name="protocol">How the collector is spoken to.</param>
    public static IDisposable Start(HostContext context, string endpoint, OtlpExportProtocol protocol)
    {
        ResourceBuilder resource = ResourceBuilder.CreateDefault().AddService($"archipelago-{context.Settings.Scope.ToLowerInvariant().Replace('_', '-')}", serviceVersion: context.Build.Version);
        return new Providers(
            Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter("archipelago.*").AddOtlpExporter(options => Point(options, endpoint, protocol, "metrics")).Build(),
            Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource("archipelago").AddOtlpExporter(options => Point(options, endpoint, protocol, "traces")).Build());
    }

    /// <summary>The protocol of this name; a fault for another.</summary>
    public static OtlpExportProtocol Protocol(Settings settings)
    {
        string name = settings.Text("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        if (name is not ("grpc" or "http/protobuf"))
            settings.AddFault($"OTEL_EXPORTER_OTLP_PROTOCOL is \"{name}\"; it must be grpc or http/protobuf.");
        return name == "grpc" ? OtlpExportProtocol.Grpc : OtlpExportProtocol.HttpProtobuf;
    }

    private static void Point(OtlpExporterOptions options, string endpoint, OtlpExportProtocol protocol, string signal)
    {
        options.Protocol = protocol;
        // Over gRPC the collector's address is enough; over HTTP each kind has a path, which the library adds only to what it reads itself.
        options.Endpoint = new Uri(protocol == OtlpExportProtocol.HttpProtobuf ? $"{endpoint}/v1/{signal}" : endpoint);
    }

    private sealed class Providers(MeterProvider metrics, TracerProvider traces) : IDisposable
    {
        public void Dispose()
        {
            metrics.Dispose();
            traces.Dispose();
        }
    }
}
