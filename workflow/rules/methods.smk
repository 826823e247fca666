# Training and translation: the same rules for every method plugin.


rule train:
    input:
        data=rules.prepare.output.train,
        prepared=jobs.preparation,
        pretrained=jobs.pretrained_record,
    output:
        record=made(f"{RESULTS}/models/{{training}}/{{dataset}}/{{model}}/record.json"),
    log:
        f"{RESULTS}/logs/train/{{training}}.{{dataset}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{training}}.{{dataset}}.{{model}}.tsv"
    priority: jobs.asks.training_priority
    group:
        jobs.asks.group
    conda:
        ENVIRONMENT
    threads: jobs.asks.threads
    resources:
        gpu=jobs.asks.gpu,
        local_gpu=jobs.asks.local_gpu,
        one_at_a_time=jobs.asks.one_at_a_time,
        gres=jobs.asks.gres,
        mem_mb=jobs.asks.mem_mb,
        runtime=jobs.asks.runtime,
        nodes=jobs.asks.nodes,
        mpi=jobs.asks.mpi,
        tasks=jobs.asks.tasks,
        tasks_per_gpu=jobs.asks.tasks_per_gpu,
        cpus_per_task=jobs.asks.cpus_per_task,
    params:
        verb="train",
        name="{training}",
        launcher=jobs.asks.launcher,
        options=jobs.training_options,
        modalities=jobs.training_modalities,
        expect=jobs.training_expects,
        pretrained=jobs.pretrained_option,
        code=jobs.training_code,
        data=folder(input.data),
        device=jobs.asks.device,
        # not an output: Snakemake would delete it before a retry, and training could not resume
        state=f"{jobs.config.paths.work}/{jobs.config.run}/{{training}}.{{dataset}}.{{model}}",
        out=folder(output.record),
    shell:
        "{params.launcher:q} xmodbench {params.verb} {params.name} {params.options:q} {params.modalities:q}"
        " {params.pretrained:q} --expect {params.expect:q}"
        " --data {params.data:q} --device {params.device} --gpus {resources.gpu} --threads {threads}"
        " --state {params.state:q} --out {params.out:q} 2> {log:q}"


# The first phase of trainings in two; trainings that differ only in the second share it.
use rule train as pretrain with:
    input:
        data=rules.prepare.output.train,
        prepared=jobs.preparation,
    output:
        record=made(
            f"{RESULTS}/pretrained/{{pretraining}}/{{dataset}}/{{model}}/record.json"
        ),
    log:
        f"{RESULTS}/logs/pretrain/{{pretraining}}.{{dataset}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{pretraining}}.{{dataset}}.{{model}}.tsv"
    params:
        verb="pretrain",
        name="{pretraining}",
        pretrained=[],
        state=f"{jobs.config.paths.work}/{jobs.config.run}/pretrain/{{pretraining}}.{{dataset}}.{{model}}",


# In the place of a training: a model that was exported elsewhere. Its hash decides, not when the file was written.
rule import_model:
    input:
        exported=lambda wildcards: ancient(
            storage_of_jobs.own(jobs.exported_model(wildcards))
        ),
    output:
        record=made(f"{RESULTS}/models/{{training}}/{{dataset}}/{{model}}/record.json"),
    log:
        f"{RESULTS}/logs/import/{{training}}.{{dataset}}.{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/import/{{training}}.{{dataset}}.{{model}}.tsv"
    wildcard_constraints:
        training=jobs.imports(),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        expect=jobs.import_expects,
        out=folder(output.record),
    shell:
        "python -m xmodbench import {input.exported:q} {params.out:q} --expect {params.expect:q} 2> {log:q}"


rule translate:
    input:
        model=jobs.model_record,
        data=rules.prepare.output.test,
        prepared=jobs.preparation,
    output:
        record=made(
            f"{RESULTS}/translations/{{method}}/{{dataset}}/{{source}}-to-{{target}}/record.json"
        ),
    log:
        f"{RESULTS}/logs/translate/{{method}}.{{dataset}}.{{source}}-to-{{target}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/translate/{{method}}.{{dataset}}.{{source}}-to-{{target}}.tsv"
    wildcard_constraints:
        method=jobs.methods_in_parts(False),
    group:
        jobs.asks.group
    conda:
        ENVIRONMENT
    threads: jobs.asks.threads
    resources:
        gpu=jobs.asks.gpu,
        local_gpu=jobs.asks.local_gpu,
        one_at_a_time=jobs.asks.one_at_a_time,
        gres=jobs.asks.gres,
        mem_mb=jobs.asks.mem_mb,
        runtime=jobs.asks.runtime,
    params:
        options=jobs.method_options,
        expect=jobs.translation_expects,
        code=jobs.method_code,
        model=jobs.model_option,
        data=folder(input.data),
        device=jobs.asks.device,
        batch_size=jobs.config.compute.batch_size,
        part=[],
        out=folder(output.record),
    shell:
        "python -m xmodbench translate {wildcards.method} {params.options:q}"
        " {params.model:q} --data {params.data:q}"
        " --source {wildcards.source} --target {wildcards.target}"
        " --device {params.device} --gpus {resources.gpu} --threads {threads} --batch-size {params.batch_size}"
        " {params.part:q} --expect {params.expect:q} --out {params.out:q} 2> {log:q}"


# The same for a part of the slices, where a method wants a direction divided among jobs.
use rule translate as translate_part with:
    output:
        record=made(
            f"{RESULTS}/parts/{{method}}/{{dataset}}/{{source}}-to-{{target}}/{{part}}-of-{{parts}}/record.json"
        ),
    log:
        f"{RESULTS}/logs/translate/{{method}}.{{dataset}}.{{source}}-to-{{target}}.{{part}}-of-{{parts}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/translate/{{method}}.{{dataset}}.{{source}}-to-{{target}}.{{part}}-of-{{parts}}.tsv"
    wildcard_constraints:
        method=jobs.methods_in_parts(True),
    params:
        part=["--part", "{part}/{parts}"],


rule gather:
    input:
        parts=jobs.part_records,
        data=rules.prepare.output.test,
        prepared=jobs.preparation,
    output:
        record=made(
            f"{RESULTS}/translations/{{method}}/{{dataset}}/{{source}}-to-{{target}}/record.json"
        ),
    log:
        f"{RESULTS}/logs/gather/{{method}}.{{dataset}}.{{source}}-to-{{target}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/gather/{{method}}.{{dataset}}.{{source}}-to-{{target}}.tsv"
    wildcard_constraints:
        method=jobs.methods_in_parts(True),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        parts=lambda wildcards, input: jobs.part_folders(input.parts),
        data=folder(input.data),
        out=folder(output.record),
    shell:
        "python -m xmodbench gather {params.parts:q} --data {params.data:q} --out {params.out:q} 2> {log:q}"


# Translations that were made elsewhere: read, checked and written like those above.
rule import_predictions:
    input:
        files=jobs.prediction_files,
        data=rules.prepare.output.test,
        prepared=jobs.preparation,
    output:
        record=made(
            f"{RESULTS}/translations/{{method}}/{{dataset}}/{{source}}-to-{{target}}/record.json"
        ),
    log:
        f"{RESULTS}/logs/import-predictions/{{method}}.{{dataset}}.{{source}}-to-{{target}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/import-predictions/{{method}}.{{dataset}}.{{source}}-to-{{target}}.tsv"
    wildcard_constraints:
        method=jobs.made_elsewhere(),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=jobs.prediction_options,
        expect=jobs.prediction_expects,
        code=jobs.prediction_code,
        seen=jobs.predictions_seen,
        data=folder(input.data),
        out=folder(output.record),
    shell:
        "python -m xmodbench import-predictions {params.options:q} --data {params.data:q}"
        " --source {wildcards.source} --target {wildcards.target}"
        " --expect {params.expect:q} --out {params.out:q} 2> {log:q}"
