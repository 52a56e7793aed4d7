/* A guest of 512 bytes that keeps its count on the disk it boots from: it says
 * "guest up" on its first serial port, then once a second writes the next
 * "tick 0001" into the second sector of the disk and, when that is through,
 * says it. It says "no read" or "no write" when the disk fails, and goes on.
 *
 *   as --32 -o disk.o disk.S
 *   ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o disk.img disk.o */
	.code16
	.globl _start

	.set COM1, 0x3f8
	.set COM1_INTERRUPTS, COM1 + 1
	.set COM1_STATUS, COM1 + 5
	.set READY_TO_SEND, 0x20
	.set TIMER, 0x46c		/* BIOS data area: 18.2 counts a second */
	.set SECOND, 18
	.set READ, 0x0201		/* of the BIOS's disk service, for one sector */
	.set WRITE, 0x0301
	.set SECTOR, 0x7e00		/* what is in the second sector: the text of a tick */

_start:
	ljmp $0, $begin
begin:
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7c00, %sp
	cld
	sti
	mov %dl, drive
	mov $COM1_INTERRUPTS, %dx
	out %al, %dx
	mov $greeting, %si
	call print

	mov $READ, %ax
	call disk
	mov $no_read, %si
	jc hang
	cmpb $'t', SECTOR
	je next_tick
	mov $tick, %si
	mov $SECTOR, %di
	mov $(tick_end - tick), %cx
	rep movsb

next_tick:
	mov TIMER, %bp
	/* Count in decimal, in the text itself: carry from the last digit to the left. */
	mov $(SECTOR + last_digit - tick), %di
count:
	incb (%di)
	cmpb $'9', (%di)
	jbe counted
	movb $'0', (%di)
	dec %di
	cmp $(SECTOR + first_digit - tick), %di
	jae count
counted:
	mov $WRITE, %ax
	call disk
	mov $SECTOR, %si
	jnc written
	mov $no_write, %si
written:
	call print
wait:
	hlt
	mov TIMER, %ax
	sub %bp, %ax
	cmp $SECOND, %ax
	jb wait
	jmp next_tick

hang:
	call print
	hlt
	jmp hang

/* Do what %ax says with the second sector; carry is set when it failed. */
disk:
	mov $SECTOR, %bx
	mov $2, %cx
	mov $0, %dh
	mov drive, %dl
	int $0x13
	ret

/* Send the text at %si, which ends in 0. */
print:
	lodsb
	test %al, %al
	jz printed
	mov %al, %ah
	mov $COM1_STATUS, %dx
busy:
	in %dx, %al
	test $READY_TO_SEND, %al
	jz busy
	mov %ah, %al
	mov $COM1, %dx
	out %al, %dx
	jmp print
printed:
	ret

drive:
	.byte 0
greeting:
	.asciz "guest up\r\n"
no_read:
	.asciz "no read\r\n"
no_write:
	.asciz "no write\r\n"
tick:
	.ascii "tick "
first_digit:
	.ascii "000"
last_digit:
	.asciz "0\r\n"
tick_end:

	.org 510
	.word 0xaa55
