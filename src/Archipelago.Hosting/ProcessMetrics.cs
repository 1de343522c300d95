using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Archipelago.Hosting;

/// <summary>The process's own figures, under the names that Prometheus dashboards know.</summary>
internal static class ProcessMetrics
{
    public static void Register(Meter meter)
    {
        meter.CreateObservableCounter("process_cpu_seconds_total", () => Environment.CpuUsage.TotalTime.TotalSeconds, description: "Processor time used, in seconds.");
        meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, description: "Memory held, in bytes.");
        meter.CreateObservableGauge("process_start_time_seconds", StartTime, description: "When the process started, in seconds since 1970.");
        meter.CreateObservableCounter("dotnet_gc_allocated_bytes_total", () => GC.GetTotalAllocatedBytes(), description: "Bytes allocated since the start.");
        meter.CreateObservableGauge("dotnet_gc_heap_bytes", () => GC.GetTotalMemory(false), description: "Bytes on the managed heap.");
        meter.CreateObservableCounter(
            "dotnet_gc_collections_total",
            () => Enumerable.Range(0, GC.MaxGeneration + 1).Select(g => new Measurement<long>(GC.CollectionCount(g), new KeyValuePair<string, object?>("generation", g))),
            description: "Garbage collections.");
    }

    private static double StartTime()
    {
        using var self = Process.GetCurrentProcess();
        return new DateTimeOffset(self.StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1000.0;
    }
}
