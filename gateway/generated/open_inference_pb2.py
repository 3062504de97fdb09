"""Made from protos/open_inference.proto by protos/generate.py; never edited."""

from gateway.generated import model_config_pb2  # noqa: F401
from gateway.generated.pool import POOL, message_class

DESCRIPTOR = POOL.AddSerializedFile(
    b'\n\x14open_inference.proto\x12\tinference\x1a\x12model_config.proto"\x13\n\x11ServerLiveReque'
    b'st""\n\x12ServerLiveResponse\x12\x0c\n\x04live\x18\x01 \x01(\x08"\x14\n\x12ServerReadyRequest"$\n\x13ServerRe'
    b'adyResponse\x12\r\n\x05ready\x18\x01 \x01(\x08"2\n\x11ModelReadyRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version'
    b'\x18\x02 \x01(\t"#\n\x12ModelReadyResponse\x12\r\n\x05ready\x18\x01 \x01(\x08"\x17\n\x15ServerMetadataRequest"K\n\x16'
    b'ServerMetadataResponse\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\x12\n\nextensions\x18\x03 \x03('
    b'\t"5\n\x14ModelMetadataRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t"\x8d\x02\n\x15ModelMetada'
    b'taResponse\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08versions\x18\x02 \x03(\t\x12\x10\n\x08platform\x18\x03 \x01(\t\x12?\n\x06inputs\x18\x04'
    b' \x03(\x0b2/.inference.ModelMetadataResponse.TensorMetadata\x12@\n\x07outputs\x18\x05 \x03(\x0b2/'
    b'.inference.ModelMetadataResponse.TensorMetadata\x1a?\n\x0eTensorMetadata\x12\x0c\n\x04nam'
    b'e\x18\x01 \x01(\t\x12\x10\n\x08datatype\x18\x02 \x01(\t\x12\r\n\x05shape\x18\x03 \x03(\x03"\x99\x01\n\x0eInferParameter\x12\x14\n\nbool_para'
    b'm\x18\x01 \x01(\x08H\x00\x12\x15\n\x0bint64_param\x18\x02 \x01(\x03H\x00\x12\x16\n\x0cstring_param\x18\x03 \x01(\tH\x00\x12\x16\n\x0cdouble_param'
    b'\x18\x04 \x01(\x01H\x00\x12\x16\n\x0cuint64_param\x18\x05 \x01(\x04H\x00B\x12\n\x10parameter_choice"\xd0\x01\n\x13InferTensorCont'
    b'ents\x12\x15\n\rbool_contents\x18\x01 \x03(\x08\x12\x14\n\x0cint_contents\x18\x02 \x03(\x05\x12\x16\n\x0eint64_contents\x18\x03 \x03('
    b'\x03\x12\x15\n\ruint_contents\x18\x04 \x03(\r\x12\x17\n\x0fuint64_contents\x18\x05 \x03(\x04\x12\x15\n\rfp32_contents\x18\x06 \x03(\x02'
    b'\x12\x15\n\rfp64_contents\x18\x07 \x03(\x01\x12\x16\n\x0ebytes_contents\x18\x08 \x03(\x0c"\xee\x06\n\x11ModelInferRequest\x12\x12\n'
    b'\nmodel_name\x18\x01 \x01(\t\x12\x15\n\rmodel_version\x18\x02 \x01(\t\x12\n\n\x02id\x18\x03 \x01(\t\x12@\n\nparameters\x18\x04 \x03(\x0b'
    b'2,.inference.ModelInferRequest.ParametersEntry\x12=\n\x06inputs\x18\x05 \x03(\x0b2-.inferen'
    b'ce.ModelInferRequest.InferInputTensor\x12H\n\x07outputs\x18\x06 \x03(\x0b27.inference.Model'
    b'InferRequest.InferRequestedOutputTensor\x12\x1a\n\x12raw_input_contents\x18\x07 \x03(\x0c\x1a\x94\x02\n\x10'
    b'InferInputTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08datatype\x18\x02 \x01(\t\x12\r\n\x05shape\x18\x03 \x03(\x03\x12Q\n\nparam'
    b'eters\x18\x04 \x03(\x0b2=.inference.ModelInferRequest.InferInputTensor.ParametersEnt'
    b'ry\x120\n\x08contents\x18\x05 \x01(\x0b2\x1e.inference.InferTensorContents\x1aL\n\x0fParametersEntry\x12'
    b'\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x028\x01\x1a\xd5\x01\n\x1aInferRequ'
    b'estedOutputTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12[\n\nparameters\x18\x02 \x03(\x0b2G.inference.ModelInf'
    b'erRequest.InferRequestedOutputTensor.ParametersEntry\x1aL\n\x0fParametersEntry\x12'
    b'\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x028\x01\x1aL\n\x0fParameters'
    b'Entry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferParameter:\x028\x01"\xd5\x04\n\x12Mod'
    b'elInferResponse\x12\x12\n\nmodel_name\x18\x01 \x01(\t\x12\x15\n\rmodel_version\x18\x02 \x01(\t\x12\n\n\x02id\x18\x03 \x01(\t\x12A'
    b'\n\nparameters\x18\x04 \x03(\x0b2-.inference.ModelInferResponse.ParametersEntry\x12@\n\x07out'
    b'puts\x18\x05 \x03(\x0b2/.inference.ModelInferResponse.InferOutputTensor\x12\x1b\n\x13raw_outpu'
    b't_contents\x18\x06 \x03(\x0c\x1a\x97\x02\n\x11InferOutputTensor\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x10\n\x08datatype\x18\x02 \x01(\t\x12\r'
    b'\n\x05shape\x18\x03 \x03(\x03\x12S\n\nparameters\x18\x04 \x03(\x0b2?.inference.ModelInferResponse.InferOu'
    b'tputTensor.ParametersEntry\x120\n\x08contents\x18\x05 \x01(\x0b2\x1e.inference.InferTensorCont'
    b'ents\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.InferPar'
    b'ameter:\x028\x01\x1aL\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12(\n\x05value\x18\x02 \x01(\x0b2\x19.inference.In'
    b'ferParameter:\x028\x01"h\n\x18ModelStreamInferResponse\x12\x15\n\rerror_message\x18\x01 \x01(\t\x125\n\x0ei'
    b'nfer_response\x18\x02 \x01(\x0b2\x1d.inference.ModelInferResponse"3\n\x12ModelConfigRequest'
    b'\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t"=\n\x13ModelConfigResponse\x12&\n\x06config\x18\x01 \x01(\x0b2\x16'
    b'.inference.ModelConfig"7\n\x16ModelStatisticsRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07versio'
    b'n\x18\x02 \x01(\t".\n\x11StatisticDuration\x12\r\n\x05count\x18\x01 \x01(\x04\x12\n\n\x02ns\x18\x02 \x01(\x04"\x9c\x03\n\x0fInferStatist'
    b'ics\x12-\n\x07success\x18\x01 \x01(\x0b2\x1c.inference.StatisticDuration\x12*\n\x04fail\x18\x02 \x01(\x0b2\x1c.infer'
    b'ence.StatisticDuration\x12+\n\x05queue\x18\x03 \x01(\x0b2\x1c.inference.StatisticDuration\x123\n\rc'
    b'ompute_input\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration\x123\n\rcompute_infer\x18\x05 \x01(\x0b2'
    b'\x1c.inference.StatisticDuration\x124\n\x0ecompute_output\x18\x06 \x01(\x0b2\x1c.inference.Statis'
    b'ticDuration\x12/\n\tcache_hit\x18\x07 \x01(\x0b2\x1c.inference.StatisticDuration\x120\n\ncache_mi'
    b'ss\x18\x08 \x01(\x0b2\x1c.inference.StatisticDuration"\xc3\x02\n\x17InferResponseStatistics\x123\n\rco'
    b'mpute_infer\x18\x01 \x01(\x0b2\x1c.inference.StatisticDuration\x124\n\x0ecompute_output\x18\x02 \x01(\x0b2'
    b'\x1c.inference.StatisticDuration\x12-\n\x07success\x18\x03 \x01(\x0b2\x1c.inference.StatisticDura'
    b'tion\x12*\n\x04fail\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration\x124\n\x0eempty_response\x18\x05 \x01(\x0b'
    b'2\x1c.inference.StatisticDuration\x12,\n\x06cancel\x18\x06 \x01(\x0b2\x1c.inference.StatisticDura'
    b'tion"\xca\x01\n\x14InferBatchStatistics\x12\x12\n\nbatch_size\x18\x01 \x01(\x04\x123\n\rcompute_input\x18\x02 \x01(\x0b'
    b'2\x1c.inference.StatisticDuration\x123\n\rcompute_infer\x18\x03 \x01(\x0b2\x1c.inference.Statis'
    b'ticDuration\x124\n\x0ecompute_output\x18\x04 \x01(\x0b2\x1c.inference.StatisticDuration":\n\x0bMem'
    b'oryUsage\x12\x0c\n\x04type\x18\x01 \x01(\t\x12\n\n\x02id\x18\x02 \x01(\x03\x12\x11\n\tbyte_size\x18\x03 \x01(\x04"\xb4\x03\n\x0fModelStatistic'
    b's\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\x16\n\x0elast_inference\x18\x03 \x01(\x04\x12\x17\n\x0finference_co'
    b'unt\x18\x04 \x01(\x04\x12\x17\n\x0fexecution_count\x18\x05 \x01(\x04\x123\n\x0finference_stats\x18\x06 \x01(\x0b2\x1a.inference.'
    b'InferStatistics\x124\n\x0bbatch_stats\x18\x07 \x03(\x0b2\x1f.inference.InferBatchStatistics\x12,\n'
    b'\x0cmemory_usage\x18\x08 \x03(\x0b2\x16.inference.MemoryUsage\x12E\n\x0eresponse_stats\x18\t \x03(\x0b2-.in'
    b'ference.ModelStatistics.ResponseStatsEntry\x1aX\n\x12ResponseStatsEntry\x12\x0b\n\x03key\x18'
    b'\x01 \x01(\t\x121\n\x05value\x18\x02 \x01(\x0b2".inference.InferResponseStatistics:\x028\x01"J\n\x17ModelSta'
    b'tisticsResponse\x12/\n\x0bmodel_stats\x18\x01 \x03(\x0b2\x1a.inference.ModelStatistics"\x8a\x01\n\x18Mod'
    b'elRepositoryParameter\x12\x14\n\nbool_param\x18\x01 \x01(\x08H\x00\x12\x15\n\x0bint64_param\x18\x02 \x01(\x03H\x00\x12\x16\n\x0cst'
    b'ring_param\x18\x03 \x01(\tH\x00\x12\x15\n\x0bbytes_param\x18\x04 \x01(\x0cH\x00B\x12\n\x10parameter_choice"@\n\x16Reposit'
    b'oryIndexRequest\x12\x17\n\x0frepository_name\x18\x01 \x01(\t\x12\r\n\x05ready\x18\x02 \x01(\x08"\xa4\x01\n\x17RepositoryIn'
    b'dexResponse\x12=\n\x06models\x18\x01 \x03(\x0b2-.inference.RepositoryIndexResponse.ModelInd'
    b'ex\x1aJ\n\nModelIndex\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\r\n\x05state\x18\x03 \x01(\t\x12\x0e\n\x06reason'
    b'\x18\x04 \x01(\t"\xec\x01\n\x1aRepositoryModelLoadRequest\x12\x17\n\x0frepository_name\x18\x01 \x01(\t\x12\x12\n\nmodel_'
    b'name\x18\x02 \x01(\t\x12I\n\nparameters\x18\x03 \x03(\x0b25.inference.RepositoryModelLoadRequest.Pa'
    b'rametersEntry\x1aV\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x122\n\x05value\x18\x02 \x01(\x0b2#.inference'
    b'.ModelRepositoryParameter:\x028\x01"\x1d\n\x1bRepositoryModelLoadResponse"\xf0\x01\n\x1cReposit'
    b'oryModelUnloadRequest\x12\x17\n\x0frepository_name\x18\x01 \x01(\t\x12\x12\n\nmodel_name\x18\x02 \x01(\t\x12K\n\npa'
    b'rameters\x18\x03 \x03(\x0b27.inference.RepositoryModelUnloadRequest.ParametersEntry\x1a'
    b'V\n\x0fParametersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x122\n\x05value\x18\x02 \x01(\x0b2#.inference.ModelReposito'
    b'ryParameter:\x028\x01"\x1f\n\x1dRepositoryModelUnloadResponse"/\n\x1fSystemSharedMemorySt'
    b'atusRequest\x12\x0c\n\x04name\x18\x01 \x01(\t"\xa5\x02\n SystemSharedMemoryStatusResponse\x12I\n\x07region'
    b's\x18\x01 \x03(\x0b28.inference.SystemSharedMemoryStatusResponse.RegionsEntry\x1aL\n\x0cReg'
    b'ionStatus\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t\x12\x0e\n\x06offset\x18\x03 \x01(\x04\x12\x11\n\tbyte_size\x18\x04 \x01(\x04\x1a'
    b'h\n\x0cRegionsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12G\n\x05value\x18\x02 \x01(\x0b28.inference.SystemSharedMemo'
    b'ryStatusResponse.RegionStatus:\x028\x01"a\n!SystemSharedMemoryRegisterRequest\x12\x0c'
    b'\n\x04name\x18\x01 \x01(\t\x12\x0b\n\x03key\x18\x02 \x01(\t\x12\x0e\n\x06offset\x18\x03 \x01(\x04\x12\x11\n\tbyte_size\x18\x04 \x01(\x04"$\n"SystemSh'
    b'aredMemoryRegisterResponse"3\n#SystemSharedMemoryUnregisterRequest\x12\x0c\n\x04nam'
    b'e\x18\x01 \x01(\t"&\n$SystemSharedMemoryUnregisterResponse"-\n\x1dCudaSharedMemoryStatu'
    b'sRequest\x12\x0c\n\x04name\x18\x01 \x01(\t"\x95\x02\n\x1eCudaSharedMemoryStatusResponse\x12G\n\x07regions\x18\x01 \x03'
    b'(\x0b26.inference.CudaSharedMemoryStatusResponse.RegionsEntry\x1aB\n\x0cRegionStat'
    b'us\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x11\n\tdevice_id\x18\x02 \x01(\x04\x12\x11\n\tbyte_size\x18\x03 \x01(\x04\x1af\n\x0cRegionsEntry\x12\x0b'
    b'\n\x03key\x18\x01 \x01(\t\x12E\n\x05value\x18\x02 \x01(\x0b26.inference.CudaSharedMemoryStatusResponse.Re'
    b'gionStatus:\x028\x01"i\n\x1fCudaSharedMemoryRegisterRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x12\n\nraw_h'
    b'andle\x18\x02 \x01(\x0c\x12\x11\n\tdevice_id\x18\x03 \x01(\x03\x12\x11\n\tbyte_size\x18\x04 \x01(\x04""\n CudaSharedMemoryReg'
    b'isterResponse"1\n!CudaSharedMemoryUnregisterRequest\x12\x0c\n\x04name\x18\x01 \x01(\t"$\n"Cuda'
    b'SharedMemoryUnregisterResponse"\xe6\x01\n\x13TraceSettingRequest\x12>\n\x08settings\x18\x01 \x03(\x0b'
    b'2,.inference.TraceSettingRequest.SettingsEntry\x12\x12\n\nmodel_name\x18\x02 \x01(\t\x1a\x1d\n\x0cSe'
    b'ttingValue\x12\r\n\x05value\x18\x01 \x03(\t\x1a\\\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12:\n\x05value\x18\x02 \x01(\x0b2+'
    b'.inference.TraceSettingRequest.SettingValue:\x028\x01"\xd5\x01\n\x14TraceSettingResponse'
    b'\x12?\n\x08settings\x18\x01 \x03(\x0b2-.inference.TraceSettingResponse.SettingsEntry\x1a\x1d\n\x0cSet'
    b'tingValue\x12\r\n\x05value\x18\x01 \x03(\t\x1a]\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12;\n\x05value\x18\x02 \x01(\x0b2,.'
    b'inference.TraceSettingResponse.SettingValue:\x028\x01"\x9a\x02\n\x12LogSettingsRequest\x12='
    b'\n\x08settings\x18\x01 \x03(\x0b2+.inference.LogSettingsRequest.SettingsEntry\x1ah\n\x0cSetting'
    b'Value\x12\x14\n\nbool_param\x18\x01 \x01(\x08H\x00\x12\x16\n\x0cuint32_param\x18\x02 \x01(\rH\x00\x12\x16\n\x0cstring_param\x18\x03 \x01('
    b'\tH\x00B\x12\n\x10parameter_choice\x1a[\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x129\n\x05value\x18\x02 \x01(\x0b2*.i'
    b'nference.LogSettingsRequest.SettingValue:\x028\x01"\x9d\x02\n\x13LogSettingsResponse\x12>\n\x08'
    b'settings\x18\x01 \x03(\x0b2,.inference.LogSettingsResponse.SettingsEntry\x1ah\n\x0cSettingV'
    b'alue\x12\x14\n\nbool_param\x18\x01 \x01(\x08H\x00\x12\x16\n\x0cuint32_param\x18\x02 \x01(\rH\x00\x12\x16\n\x0cstring_param\x18\x03 \x01(\t'
    b'H\x00B\x12\n\x10parameter_choice\x1a\\\n\rSettingsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12:\n\x05value\x18\x02 \x01(\x0b2+.in'
    b'ference.LogSettingsResponse.SettingValue:\x028\x012\xb7\x0f\n\x14GRPCInferenceService\x12K\n'
    b'\nServerLive\x12\x1c.inference.ServerLiveRequest\x1a\x1d.inference.ServerLiveResponse'
    b'"\x00\x12N\n\x0bServerReady\x12\x1d.inference.ServerReadyRequest\x1a\x1e.inference.ServerReady'
    b'Response"\x00\x12K\n\nModelReady\x12\x1c.inference.ModelReadyRequest\x1a\x1d.inference.Model'
    b'ReadyResponse"\x00\x12W\n\x0eServerMetadata\x12 .inference.ServerMetadataRequest\x1a!.in'
    b'ference.ServerMetadataResponse"\x00\x12T\n\rModelMetadata\x12\x1f.inference.ModelMetad'
    b'ataRequest\x1a .inference.ModelMetadataResponse"\x00\x12K\n\nModelInfer\x12\x1c.inference'
    b'.ModelInferRequest\x1a\x1d.inference.ModelInferResponse"\x00\x12[\n\x10ModelStreamInfer\x12'
    b'\x1c.inference.ModelInferRequest\x1a#.inference.ModelStreamInferResponse"\x00(\x010\x01'
    b'\x12N\n\x0bModelConfig\x12\x1d.inference.ModelConfigRequest\x1a\x1e.inference.ModelConfigRe'
    b'sponse"\x00\x12Z\n\x0fModelStatistics\x12!.inference.ModelStatisticsRequest\x1a".inferen'
    b'ce.ModelStatisticsResponse"\x00\x12Z\n\x0fRepositoryIndex\x12!.inference.RepositoryIn'
    b'dexRequest\x1a".inference.RepositoryIndexResponse"\x00\x12f\n\x13RepositoryModelLoad\x12'
    b'%.inference.RepositoryModelLoadRequest\x1a&.inference.RepositoryModelLoadRe'
    b'sponse"\x00\x12l\n\x15RepositoryModelUnload\x12\'.inference.RepositoryModelUnloadReque'
    b'st\x1a(.inference.RepositoryModelUnloadResponse"\x00\x12u\n\x18SystemSharedMemoryStat'
    b'us\x12*.inference.SystemSharedMemoryStatusRequest\x1a+.inference.SystemSharedM'
    b'emoryStatusResponse"\x00\x12{\n\x1aSystemSharedMemoryRegister\x12,.inference.SystemSh'
    b'aredMemoryRegisterRequest\x1a-.inference.SystemSharedMemoryRegisterResponse'
    b'"\x00\x12\x81\x01\n\x1cSystemSharedMemoryUnregister\x12..inference.SystemSharedMemoryUnregi'
    b'sterRequest\x1a/.inference.SystemSharedMemoryUnregisterResponse"\x00\x12o\n\x16CudaSh'
    b'aredMemoryStatus\x12(.inference.CudaSharedMemoryStatusRequest\x1a).inference.C'
    b'udaSharedMemoryStatusResponse"\x00\x12u\n\x18CudaSharedMemoryRegister\x12*.inference.'
    b'CudaSharedMemoryRegisterRequest\x1a+.inference.CudaSharedMemoryRegisterResp'
    b'onse"\x00\x12{\n\x1aCudaSharedMemoryUnregister\x12,.inference.CudaSharedMemoryUnregis'
    b'terRequest\x1a-.inference.CudaSharedMemoryUnregisterResponse"\x00\x12Q\n\x0cTraceSett'
    b'ing\x12\x1e.inference.TraceSettingRequest\x1a\x1f.inference.TraceSettingResponse"\x00\x12N'
    b'\n\x0bLogSettings\x12\x1d.inference.LogSettingsRequest\x1a\x1e.inference.LogSettingsResp'
    b'onse"\x00b\x06proto3'
)

ServerLiveRequest = message_class(DESCRIPTOR, "ServerLiveRequest")
ServerLiveResponse = message_class(DESCRIPTOR, "ServerLiveResponse")
ServerReadyRequest = message_class(DESCRIPTOR, "ServerReadyRequest")
ServerReadyResponse = message_class(DESCRIPTOR, "ServerReadyResponse")
ModelReadyRequest = message_class(DESCRIPTOR, "ModelReadyRequest")
ModelReadyResponse = message_class(DESCRIPTOR, "ModelReadyResponse")
ServerMetadataRequest = message_class(DESCRIPTOR, "ServerMetadataRequest")
ServerMetadataResponse = message_class(DESCRIPTOR, "ServerMetadataResponse")
ModelMetadataRequest = message_class(DESCRIPTOR, "ModelMetadataRequest")
ModelMetadataResponse = message_class(DESCRIPTOR, "ModelMetadataResponse")
InferParameter = message_class(DESCRIPTOR, "InferParameter")
InferTensorContents = message_class(DESCRIPTOR, "InferTensorContents")
ModelInferRequest = message_class(DESCRIPTOR, "ModelInferRequest")
ModelInferResponse = message_class(DESCRIPTOR, "ModelInferResponse")
ModelStreamInferResponse = message_class(DESCRIPTOR, "ModelStreamInferResponse")
ModelConfigRequest = message_class(DESCRIPTOR, "ModelConfigRequest")
ModelConfigResponse = message_class(DESCRIPTOR, "ModelConfigResponse")
ModelStatisticsRequest = message_class(DESCRIPTOR, "ModelStatisticsRequest")
StatisticDuration = message_class(DESCRIPTOR, "StatisticDuration")
InferStatistics = message_class(DESCRIPTOR, "InferStatistics")
InferResponseStatistics = message_class(DESCRIPTOR, "InferResponseStatistics")
InferBatchStatistics = message_class(DESCRIPTOR, "InferBatchStatistics")
MemoryUsage = message_class(DESCRIPTOR, "MemoryUsage")
ModelStatistics = message_class(DESCRIPTOR, "ModelStatistics")
ModelStatisticsResponse = message_class(DESCRIPTOR, "ModelStatisticsResponse")
ModelRepositoryParameter = message_class(DESCRIPTOR, "ModelRepositoryParameter")
RepositoryIndexRequest = message_class(DESCRIPTOR, "RepositoryIndexRequest")
RepositoryIndexResponse = message_class(DESCRIPTOR, "RepositoryIndexResponse")
RepositoryModelLoadRequest = message_class(DESCRIPTOR, "RepositoryModelLoadRequest")
RepositoryModelLoadResponse = message_class(DESCRIPTOR, "RepositoryModelLoadResponse")
RepositoryModelUnloadRequest = message_class(DESCRIPTOR, "RepositoryModelUnloadRequest")
RepositoryModelUnloadResponse = message_class(DESCRIPTOR, "RepositoryModelUnloadResponse")
SystemSharedMemoryStatusRequest = message_class(DESCRIPTOR, "SystemSharedMemoryStatusRequest")
SystemSharedMemoryStatusResponse = message_class(DESCRIPTOR, "SystemSharedMemoryStatusResponse")
SystemSharedMemoryRegisterRequest = message_class(DESCRIPTOR, "SystemSharedMemoryRegisterRequest")
SystemSharedMemoryRegisterResponse = message_class(DESCRIPTOR, "SystemSharedMemoryRegisterResponse")
SystemSharedMemoryUnregisterRequest = message_class(DESCRIPTOR, "SystemSharedMemoryUnregisterRequest")
SystemSharedMemoryUnregisterResponse = message_class(DESCRIPTOR, "SystemSharedMemoryUnregisterResponse")
CudaSharedMemoryStatusRequest = message_class(DESCRIPTOR, "CudaSharedMemoryStatusRequest")
CudaSharedMemoryStatusResponse = message_class(DESCRIPTOR, "CudaSharedMemoryStatusResponse")
CudaSharedMemoryRegisterRequest = message_class(DESCRIPTOR, "CudaSharedMemoryRegisterRequest")
CudaSharedMemoryRegisterResponse = message_class(DESCRIPTOR, "CudaSharedMemoryRegisterResponse")
CudaSharedMemoryUnregisterRequest = message_class(DESCRIPTOR, "CudaSharedMemoryUnregisterRequest")
CudaSharedMemoryUnregisterResponse = message_class(DESCRIPTOR, "CudaSharedMemoryUnregisterResponse")
TraceSettingRequest = message_class(DESCRIPTOR, "TraceSettingRequest")
TraceSettingResponse = message_class(DESCRIPTOR, "TraceSettingResponse")
LogSettingsRequest = message_class(DESCRIPTOR, "LogSettingsRequest")
LogSettingsResponse = message_class(DESCRIPTOR, "LogSettingsResponse")
