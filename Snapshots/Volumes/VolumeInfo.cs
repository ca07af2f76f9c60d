namespace Holdfast.Snapshots;

/// <summary>A volume of an application: a directory whose files belong to its snapshots.</summary>
/// <param name="Id">Its number, the same in every snapshot of the application.</param>
/// <param name="Path">Absolute, without symbolic links.</param>
/// <param name="Files">How many files, directories and other entries it has.</param>
/// <param name="Bytes">The sizes of its files, added up.</param>
public sealed record VolumeInfo(int Id, string Path, int Files, long Bytes);

/// <summary>What a checkpoint did about volumes.</summary>
/// <param name="Volumes">How many there are.</param>
/// <param name="Files">How many regular files they have.</param>
/// <param name="BytesBefore">Bytes that were read while the application ran.</param>
/// <param name="BytesInside">Bytes that were read while it stood.</param>
/// <param name="Clones">Files that were cloned while it stood, and read afterwards.</param>
/// <param name="Inside">For how long the application stood for its volumes.</param>
public sealed record VolumeCounts(int Volumes, long Files, long BytesBefore, long BytesInside, int Clones, TimeSpan Inside);
